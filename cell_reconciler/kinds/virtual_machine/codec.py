"""How one field stands in domain XML: ``read`` an element, ``write`` a value into it.

Elements come from lxml but nothing here imports it (``makeelement`` is a method), so that specs can be validated
where lxml is not installed. ``scope`` is ``<domain>``, or the device's own element for the fields of a device.

Rule 1: absent reads as what libvirt means by it: None for an optional field, its default for the others.
Rule 2: ``write`` touches only what belongs to its field; what others put beside it stays, byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.quantities import Bytes

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

AGENT = "org.qemu.guest_agent.0"  # the name by which libvirt and the agent in the guest know the channel


def child(scope: Element, path: str) -> Element:
    """The element at ``path`` (names separated by ``/``), made where it is missing."""
    for tag in path.split("/"):
        found = scope.find(tag)
        scope = add(scope, tag) if found is None else found
    return scope


def add(scope: Element, tag: str, **attributes: str) -> Element:
    """A new last child."""
    new = scope.makeelement(tag, attributes)
    scope.append(new)
    return new


def drop(scope: Element, path: str) -> None:
    """Remove every element at ``path``."""
    for element in scope.findall(path):
        remove(element)


def remove(element: Element) -> None:
    """Remove one element and the white space after it."""
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def unset(element: Element, *names: str) -> None:
    """Remove attributes, where they are there."""
    for name in names:
        if name in element.attrib:
            del element.attrib[name]


def absent(value: Any) -> bool:
    return value is None or value is UNSET


class Codec:
    """Base of all codecs."""

    def read(self, scope: Element) -> Any:
        raise NotImplementedError

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        """``owner`` is the struct that the field belongs to, for fields that make sense together only."""
        raise NotImplementedError


class Text(Codec):
    """The text of an element; None where there is none."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, scope: Element) -> str | None:
        return scope.findtext(self.path) or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            drop(scope, self.path)
        else:
            child(scope, self.path).text = str(value)


class Attribute(Codec):
    """An attribute of an element; ``absent`` is what libvirt means when it is not there."""

    def __init__(self, path: str, name: str, *, absent: str) -> None:
        self.path, self.name, self.absent = path, name, absent

    def read(self, scope: Element) -> str:
        element = scope.find(self.path)
        return self.absent if element is None else element.get(self.name) or self.absent

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        child(scope, self.path).set(self.name, str(value))


class Topology(Codec):
    """One factor of ``cpu/topology``; ``<vcpu>`` is always the product (libvirt refuses anything else)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, scope: Element) -> int:
        topology = scope.find("cpu/topology")
        if topology is not None:
            return int(topology.get(self.name) or 1)
        return int(scope.findtext("vcpu") or 1) if self.name == "sockets" else 1

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if scope.find("cpu/topology") is None:
            sockets = str(Topology("sockets").read(scope))
            add(child(scope, "cpu"), "topology", sockets=sockets, cores="1", threads="1")
        topology, vcpu = child(scope, "cpu/topology"), child(scope, "vcpu")
        topology.set(self.name, str(value))
        total = 1
        for name in ("sockets", "dies", "cores", "threads"):
            total *= int(topology.get(name) or 1)
        vcpu.text = str(total)
        unset(vcpu, "current")
        drop(scope, "vcpus")  # lists every vCPU by number


class CpuMode(Codec):
    """``cpu/@mode``. What a mode says besides (match, check, model) goes when the mode changes."""

    def read(self, scope: Element) -> str:
        cpu = scope.find("cpu")
        return "custom" if cpu is None else cpu.get("mode") or "custom"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        cpu = child(scope, "cpu")
        unset(cpu, "match", "check", "migratable")
        drop(cpu, "model")
        drop(cpu, "vendor")
        cpu.set("mode", str(value))
        if value == "custom":
            cpu.set("match", "exact")
            cpu.set("check", "partial")


class CpuModel(Codec):
    """``cpu/model`` of a custom CPU; libvirt may not replace it by another (``fallback='forbid'``)."""

    def read(self, scope: Element) -> str | None:
        return scope.findtext("cpu/model") or None if CpuMode().read(scope) == "custom" else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "cpu/model")
        drop(scope, "cpu/vendor")
        if not absent(value):
            add(child(scope, "cpu"), "model", fallback="forbid").text = str(value)


class Memory(Codec):
    """``memory`` and ``currentMemory``, which libvirt holds in KiB."""

    UNITS: ClassVar = {"b": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}  # libvirt writes KiB

    def read(self, scope: Element) -> Bytes:
        memory = scope.find("memory")
        if memory is None:
            return Bytes(0)
        return Bytes(int(memory.text or 0) * self.UNITS[memory.get("unit") or "KiB"])

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        for tag in ("memory", "currentMemory"):
            element = child(scope, tag)
            element.set("unit", "KiB")
            element.text = str(int(value) // 1024)


def machine_family(machine: str) -> str:
    """``pc-q35-7.2`` → ``q35``; ``pc-i440fx-7.2`` → ``pc``: the alias that libvirt resolves when it defines."""
    return "q35" if machine == "q35" or machine.startswith("pc-q35-") else "pc"


class Machine(Codec):
    """``os/type/@machine``. Another board has other slots, so that the addresses on the old one go."""

    def read(self, scope: Element) -> str:
        kind = scope.find("os/type")
        return "" if kind is None else kind.get("machine") or ""

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        before, kind = self.read(scope), child(scope, "os/type")
        kind.set("machine", str(value))
        if before and machine_family(before) != machine_family(str(value)):
            for bus in ("pci", "usb", "sata", "ide"):
                drop(scope, f"devices/controller[@type='{bus}']")
            drop(scope, "devices/*/address[@type='pci']")


class BootOrder(Codec):
    """``boot/@order`` of a device."""

    def read(self, scope: Element) -> int | None:
        boot = scope.find("boot")
        return None if boot is None else int(boot.get("order") or 0) or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            drop(scope, "boot")
        else:
            child(scope, "boot").set("order", str(value))


class DirectBoot(Codec):
    """Whether a kernel is booted directly; its parts are fields of their own."""

    def read(self, scope: Element) -> bool:
        return scope.find("os/kernel") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            for part in ("kernel", "initrd", "cmdline"):
                drop(scope, f"os/{part}")


class SerialConsole(Codec):
    """``<serial type='pty'>``; libvirt itself adds the ``<console>`` that mirrors it."""

    def read(self, scope: Element) -> bool:
        return scope.find("devices/serial") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value and not self.read(scope):
            add(child(scope, "devices"), "serial", type="pty")
        elif not value:
            drop(scope, "devices/serial")
            for target in scope.findall("devices/console/target[@type='serial']"):
                console = target.getparent()
                if console is not None:
                    remove(console)


class GuestAgent(Codec):
    """The virtio-serial channel on which the agent in the guest listens."""

    def read(self, scope: Element) -> bool:
        return scope.find(f"devices/channel/target[@name='{AGENT}']") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value and not self.read(scope):
            channel = add(child(scope, "devices"), "channel", type="unix")
            add(channel, "target", type="virtio", name=AGENT)
        elif not value:
            for target in scope.findall(f"devices/channel/target[@name='{AGENT}']"):
                channel_of = target.getparent()
                if channel_of is not None:
                    remove(channel_of)


class Rng(Codec):
    """``<rng model='virtio'>``, fed by the host's urandom."""

    def read(self, scope: Element) -> bool:
        return scope.find("devices/rng") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value and not self.read(scope):
            rng = add(child(scope, "devices"), "rng", model="virtio")
            add(rng, "backend", model="random").text = "/dev/urandom"
        elif not value:
            drop(scope, "devices/rng")


class GraphicsType(Codec):
    """Whether there is a VNC console. Other kinds of graphics are not ours."""

    def read(self, scope: Element) -> str:
        return "none" if scope.find("devices/graphics[@type='vnc']") is None else "vnc"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value == "none":
            drop(scope, "devices/graphics[@type='vnc']")
        elif self.read(scope) == "none":
            add(child(scope, "devices"), "graphics", type="vnc", port="-1", autoport="yes")
            GraphicsListen().write(scope, owner.listen, owner, context)


class GraphicsListen(Codec):
    """The address of the VNC console, which libvirt shows twice: as an attribute and as a child."""

    def read(self, scope: Element) -> str:
        vnc = scope.find("devices/graphics[@type='vnc']")
        return "127.0.0.1" if vnc is None else vnc.get("listen") or "127.0.0.1"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        vnc = scope.find("devices/graphics[@type='vnc']")
        if vnc is not None:
            vnc.set("listen", str(value))
            drop(vnc, "listen")
            add(vnc, "listen", type="address", address=str(value))


class KvmClock(Codec):
    """The timer ``kvmclock``: KVM offers it unless it is said not to be present."""

    def read(self, scope: Element) -> bool:
        return scope.find("clock/timer[@name='kvmclock'][@present='no']") is None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "clock/timer[@name='kvmclock']")
        if not value:
            add(child(scope, "clock"), "timer", name="kvmclock", present="no")
