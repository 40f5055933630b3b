"""Disks and interfaces in domain XML: how they are found by name, made, and connected.

Identity is libvirt's user alias ``ua-<name>``, which survives in the inactive XML and in migration. A device that
we did not make has none: it is known by its handle (target of a disk, MAC of an interface) until ``observe`` finds
the document's name for it (``Context.names``).

Disks are RAW always. An interface never carries ``<vlan>``: libvirt 9 accepts it on a Linux bridge and then refuses
to start the domain; each VLAN has a bridge of its own instead, ``br-VM.101``.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cell_reconciler.kinds.virtual_machine.codec import (
    Attribute,
    Codec,
    Items,
    absent,
    add,
    child,
    drop,
    host_device,
    remove,
    unset,
)
from cell_reconciler.model.fields import UnsetType
from cell_reconciler.model.quantities import Mac

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

ALIAS = "ua-"  # libvirt keeps an alias of a user only with this prefix
_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}


class NamedDevice(Protocol):
    """What disks, drives, interfaces and host devices have in common."""

    @property
    def name(self) -> str: ...

    @property
    def boot_order(self) -> int | UnsetType: ...


def access_bridge(bridge: str | UnsetType, vlan: Any) -> str:
    """The bridge that an interface is put on: ``br-VM`` and 101 → ``br-VM.101``."""
    return str(bridge) if absent(vlan) else f"{bridge}.{vlan}"


def alias(element: Element) -> str | None:
    """The name that we gave a device, None for a device of others."""
    found = element.find("alias")
    name = "" if found is None else found.get("name") or ""
    return name.removeprefix(ALIAS) if name.startswith(ALIAS) else None


class Devices(Items):
    """A list of devices, by name."""

    tag = ""

    def elements(self, scope: Element) -> list[Element]:
        return scope.findall(f"devices/{self.tag}")

    def handle(self, element: Element) -> str:
        """What identifies a device that has no alias of ours."""
        raise NotImplementedError

    def items(self, scope: Element, context: Context | None = None) -> Iterator[tuple[str, Element]]:
        """Every device with its name."""
        names = {} if context is None else context.names
        for element in self.elements(scope):
            handle = self.handle(element)
            yield alias(element) or names.get(handle, handle), element

    def claim(self, scope: Element, names: Mapping[str, str]) -> Iterator[str]:
        """Give the devices that a document has a name for our alias: what else is known of them may change.

        Yields the names that were given.
        """
        for element in self.elements(scope):
            name = names.get(self.handle(element))
            if name is not None and alias(element) is None:
                child(element, "alias").set("name", ALIAS + name)
                yield name

    def disown(self, scope: Element, names: Collection[str]) -> None:
        """Take the aliases away that ``claim`` gave."""
        for element in self.elements(scope):
            if alias(element) in names:
                drop(element, "alias")

    def create(self, scope: Element, name: str) -> Element:
        """An empty device; its fields are written into it next."""
        element = add(child(scope, "devices"), self.tag)
        add(element, "alias", name=ALIAS + name)
        return element


class Disks(Devices):
    """``<disk>`` of the devices disk and lun; CD-ROMs have a list of their own, and floppies are not ours."""

    tag = "disk"

    def elements(self, scope: Element) -> list[Element]:
        return [e for e in super().elements(scope) if e.get("device", "disk") in ("disk", "lun")]

    def handle(self, element: Element) -> str:
        target = element.find("target")
        return "" if target is None else target.get("dev") or ""

    def create(self, scope: Element, name: str) -> Element:
        disk = super().create(scope, name)
        disk.set("device", "disk")
        add(disk, "driver", name="qemu", type="raw")
        return disk


class Cdroms(Disks):
    """``<disk device='cdrom'>``, with a medium or without."""

    def elements(self, scope: Element) -> list[Element]:
        return [e for e in Devices.elements(self, scope) if e.get("device") == "cdrom"]

    def create(self, scope: Element, name: str) -> Element:
        cdrom = super().create(scope, name)
        cdrom.set("device", "cdrom")
        cdrom.set("type", "file")
        add(cdrom, "readonly")
        return cdrom


class Interfaces(Devices):
    """``<interface>`` of every type, so that one of a foreign type is seen too."""

    tag = "interface"

    def handle(self, element: Element) -> str:
        return MacAddress().read(element) or ""

    def create(self, scope: Element, name: str) -> Element:
        interface = super().create(scope, name)
        interface.set("type", "bridge")
        return interface


class HostDevices(Devices):
    """``<hostdev>`` of the types that a document can name; SCSI devices and containers' are not ours."""

    tag = "hostdev"

    def elements(self, scope: Element) -> list[Element]:
        return [e for e in super().elements(scope) if e.get("type") in ("pci", "mdev", "usb")]

    def handle(self, element: Element) -> str:
        return host_device.identity(element)


# Every list of named devices: their names are libvirt's aliases, and therefore unique over all of them.
LISTS: tuple[Devices, ...] = (Disks(), Cdroms(), Interfaces(), HostDevices())


class Bus(Codec):
    """``target/@bus``, and with it the target's name, which must fit the bus."""

    def read(self, scope: Element) -> str:
        target = scope.find("target")
        return "" if target is None else target.get("bus") or ""

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        target = child(scope, "target")
        prefix = _PREFIX[str(value)]
        if target.get("bus") not in (None, str(value)):
            drop(scope, "address")
        target.set("bus", str(value))
        if not (target.get("dev") or "").startswith(prefix):
            target.set("dev", self._free(scope, prefix))
            drop(scope, "address")
        devices = scope.getparent()
        if value == "scsi" and devices is not None and devices.find("controller[@type='scsi']") is None:
            add(devices, "controller", type="scsi", index="0", model="virtio-scsi")

    def _free(self, disk: Element, prefix: str) -> str:
        devices = disk.getparent()
        used = {t.get("dev") for t in ([] if devices is None else devices.findall("disk/target"))}
        letters = string.ascii_lowercase
        names = itertools.chain(letters, (a + b for a in letters for b in letters))
        return next(prefix + n for n in names if prefix + n not in used)


class Tunes(Codec):
    """Whether a disk's rate is limited at all; the limits are fields of their own."""

    def read(self, scope: Element) -> bool:
        return any((limit.text or "0").strip() not in ("", "0") for limit in self._limits(scope))

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        for limit in self._limits(scope):
            remove(limit)
        if absent(value):
            drop(scope, "iotune")

    def _limits(self, scope: Element) -> list[Element]:
        """What is a field: not the length of a burst, and not a group of disks."""
        return [limit for limit in scope.findall("iotune/*") if str(limit.tag).endswith(("_sec", "_sec_max"))]


class _OnBridge(Codec):
    """Bridge and VLAN together make ``source/@bridge``; either field writes it from both."""

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(owner.bridge):
            return
        if scope.get("type") == "hostdev":
            drop(scope, "vlan")
            unset(scope, "managed")
            child(scope, "model").set("type", str(owner.model))  # it had none, which was no difference
        if scope.get("type") != "bridge":
            scope.set("type", "bridge")
            drop(scope, "source")
            drop(scope, "virtualport")
        child(scope, "source").set("bridge", access_bridge(owner.bridge, owner.vlan))


class BridgeName(_OnBridge):
    """The bridge as libvirt has it; ``observe`` splits it into bridge and VLAN as the document does."""

    def read(self, scope: Element) -> str | None:
        source, kind = scope.find("source"), scope.get("type") or ""
        if host_device.Function().read(scope):
            return None
        if kind == "bridge":
            return "" if source is None else source.get("bridge") or ""
        where = "" if source is None else source.get("network") or source.get("dev") or ""
        return f"{kind}:{where}"


class Vlan(_OnBridge):
    """Read as part of the bridge's name; the card itself puts the tag on what a virtual function sends."""

    def read(self, scope: Element) -> int | None:
        tags = scope.findall("vlan/tag") if host_device.Function().read(scope) else []
        return int(tags[0].get("id") or 0) or None if len(tags) == 1 else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(owner.sriov):
            super().write(scope, value, owner, context)
        else:
            host_device.write_tag(scope, value)


class Model(Attribute):
    """The emulated card; a virtual function has none, which is no difference from any."""

    def __init__(self) -> None:
        super().__init__("model", "type", absent="rtl8139")

    def read(self, scope: Element) -> str:
        return "virtio" if host_device.Function().read(scope) else super().read(scope)

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(owner.sriov):
            super().write(scope, value, owner, context)


class MacAddress(Codec):
    """``mac/@address``; libvirt holds it in lower case."""

    def read(self, scope: Element) -> Mac | None:
        mac = scope.find("mac")
        return None if mac is None else Mac((mac.get("address") or "").lower())

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        child(scope, "mac").set("address", str(value))
