"""Devices of the host in domain XML: ``<hostdev>``, and ``<interface type='hostdev'>`` for a virtual function.

The XML has addresses only. What a document asks for by vendor and device, or as any VF of a card, is chosen when it is
planned (``Context.chosen``), and the domain's own XML is where that choice is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Attribute, Codec, absent, add, child, drop, unset

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

ALIAS = "ua-"  # libvirt keeps an alias of a user only with this prefix


def _number(element: Element, name: str) -> int:
    """libvirt writes 0x3b, 3b would be a name: base as the text says."""
    return int(element.get(name) or "0", 0)


def pci_address(scope: Element) -> str | None:
    """The host's PCI address of a device, None where it has none."""
    address = scope.find("source/address")
    if address is None or address.get("bus") is None or address.get("slot") is None:
        return None
    domain, bus, slot, function = (_number(address, name) for name in ("domain", "bus", "slot", "function"))
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def identity(scope: Element) -> str:
    """What a ``<hostdev>`` is of the host: ``pci:0000:3b:00.0``, ``usb:0529:0001``, ``usb:1.4``, ``mdev:UUID``."""
    kind = scope.get("type") or ""
    if kind == "pci":
        return f"pci:{pci_address(scope)}"
    if kind == "mdev":
        return f"mdev:{MdevUuid().read(scope)}"
    ids = UsbId().read(scope)
    return f"usb:{ids}" if ids else f"usb:{UsbNumber('bus').read(scope)}.{UsbNumber('device').read(scope)}"


def _write_address(scope: Element, text: str) -> None:
    domain, bus, rest = text.split(":")
    slot, _, function = rest.partition(".")
    source = child(scope, "source")
    drop(source, "address")
    parts = {"domain": f"0x{domain}", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": f"0x{function}"}
    kind = {"type": "pci"} if scope.tag == "interface" else {}
    add(source, "address", **kind, **parts)


class Source(Codec):
    """Whether a ``<hostdev>`` is of this type; what it is of the host are fields of their own."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def read(self, scope: Element) -> bool:
        return scope.get("type") == self.kind

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            return
        if scope.get("type") not in (None, self.kind):
            drop(scope, "address")  # where the guest sees it: on another bus
            drop(scope, "driver")
        for name in ("managed", "model"):
            unset(scope, name)
        scope.set("mode", "subsystem")
        scope.set("type", self.kind)
        drop(scope, "source")
        if self.kind == "mdev":
            scope.set("model", "vfio-pci")
        elif self.kind == "usb":
            scope.set("managed", "yes")


class Managed(Attribute):
    """``@managed`` of the element itself; libvirt means no when it is not there."""

    def __init__(self) -> None:
        super().__init__(".", "managed", absent="no")

    def read(self, scope: Element) -> bool:  # type: ignore[override] # the same attribute, as a yes or no
        return scope.get("managed") == "yes"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        scope.set("managed", "yes" if value else "no")


class PciAddress(Codec):
    """``source/address`` of a PCI function."""

    def read(self, scope: Element) -> str | None:
        return pci_address(scope)

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if not absent(value):
            _write_address(scope, str(value))


class Chosen(Codec):
    """A choice of several functions: written as the address that was chosen, and always read as an address."""

    def read(self, scope: Element) -> None:
        return None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            return
        alias = scope.find("alias")
        _write_address(scope, context.chosen["" if alias is None else (alias.get("name") or "").removeprefix(ALIAS)])


class MdevUuid(Codec):
    """``source/address/@uuid``."""

    def read(self, scope: Element) -> str:
        address = scope.find("source/address")
        return "" if address is None else (address.get("uuid") or "").lower()

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        child(scope, "source/address").set("uuid", str(value))


class UsbId(Codec):
    """``source/vendor`` and ``source/product``, as one text."""

    def read(self, scope: Element) -> str | None:
        vendor, product = scope.find("source/vendor"), scope.find("source/product")
        if vendor is None or product is None:
            return None
        return f"{_number(vendor, 'id'):04x}:{_number(product, 'id'):04x}"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            return
        for tag, number in zip(("vendor", "product"), str(value).split(":"), strict=True):
            child(scope, f"source/{tag}").set("id", f"0x{number}")


class UsbNumber(Codec):
    """Bus or number of a USB device; libvirt adds them to a running one that was asked for by its ids."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, scope: Element) -> int | None:
        address = scope.find("source/address")
        if address is None or UsbId().read(scope) is not None:
            return None
        return _number(address, self.name)

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if not absent(value):
            child(scope, "source/address").set(self.name, str(value))


class Function(Codec):
    """Whether an interface is a virtual function of a card, which the guest drives itself."""

    def read(self, scope: Element) -> bool:
        return scope.get("type") == "hostdev" and pci_address(scope) is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            return
        for tag in ("source", "virtualport", "model", "driver", "mtu", "link", "target", "bandwidth", "filterref"):
            drop(scope, tag)
        scope.set("type", "hostdev")
        scope.set("managed", "yes")
        write_tag(scope, owner.vlan)


def write_tag(interface: Element, vlan: Any) -> None:
    """The VLAN of a virtual function, which the card itself puts on what it sends."""
    drop(interface, "vlan")
    if not absent(vlan):
        add(child(interface, "vlan"), "tag", id=str(vlan))
