"""What is on the board in domain XML: machine, huge pages, balloon, direct boot, random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, add, child, drop, remove
from cell_reconciler.kinds.virtual_machine.codec.memory import read_size
from cell_reconciler.model.quantities import Bytes

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


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


class DirectBoot(Codec):
    """Whether a kernel is booted directly; its parts are fields of their own."""

    def read(self, scope: Element) -> bool:
        return scope.find("os/kernel") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            for part in ("kernel", "initrd", "cmdline"):
                drop(scope, f"os/{part}")


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


class Balloon(Codec):
    """The virtio balloon, by which the host asks for memory back. libvirt adds one unless the model is ``none``."""

    def read(self, scope: Element) -> bool:
        balloon = scope.find("devices/memballoon")
        return balloon is None or balloon.get("model") != "none"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value == self.read(scope) and scope.find("devices/memballoon") is not None:
            return
        drop(scope, "devices/memballoon")
        add(child(scope, "devices"), "memballoon", model="virtio" if value else "none")


class Hugepages(Codec):
    """Whether the guest's memory is made of huge pages."""

    def read(self, scope: Element) -> bool:
        return scope.find("memoryBacking/hugepages") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "memoryBacking/hugepages")
        backing = scope.find("memoryBacking")
        if not absent(value):
            child(scope, "memoryBacking/hugepages")
        elif backing is not None and not len(backing):
            remove(backing)


class PageSize(Codec):
    """The size of the huge pages; without one, libvirt takes the host's default (2 MiB on x86)."""

    def read(self, scope: Element) -> Bytes:
        page = scope.find("memoryBacking/hugepages/page")
        if page is None:
            return Bytes(2 * 2**20)
        return read_size(page, "size")

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "memoryBacking/hugepages/page")
        add(child(scope, "memoryBacking/hugepages"), "page", size=str(int(value) // 1024), unit="KiB")


class WatchdogModel(Codec):
    """Another model sits in another slot."""

    def read(self, scope: Element) -> str:
        watchdog = scope.find("devices/watchdog")
        return "" if watchdog is None else watchdog.get("model") or ""

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        watchdog = child(scope, "devices/watchdog")
        if watchdog.get("model") != str(value):
            watchdog.set("model", str(value))
            drop(watchdog, "address")
