"""Why a disk cannot be had: its volume is unknown, another domain has it, or what is there is no RAW disk. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import differ, observe, sources
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain
from cell_reconciler.model.storage import DiskSource


def unknown(want: VirtualMachineSpec, places: Mapping[str, DiskSource]) -> Iterable[Refusal]:
    """Disks on volumes that no document leads to."""
    for disk in want.disks:
        if disk.name not in places:
            message = f"disk {disk.name}: it cannot be told where volume {disk.volume} is"
            yield Refusal(reason="UnknownVolume", message=message, advice="declare the Volume and its StoragePool")


class Mine:
    """The disks that a VM is to have, as seen from other domains."""

    def __init__(self, want: VirtualMachineSpec, world: World) -> None:
        uses = sources.uses(want, world)
        self._devices = world.live.devices
        self._by_place = {use.source.place: use for use in uses}
        self._blocks = tuple(use for use in uses if use.source.backend == "block")  # each has many names
        self._words = {disk.name: f"the volume {disk.volume}" for disk in want.disks if disk.volume}

    def taken(self, other: observe.Parsed) -> list[str]:
        """Those that the other domain has, by whatever name. Both may say that they share one."""
        shared = {disk.name for disk in other.spec.disks if disk.shareable}
        found = []
        for disk, source in other.sources.items():
            same = (use for use in self._blocks if sources.same_block(use.source, source, self._devices))
            use = self._by_place.get(source.place) or next(same, None)
            if use is not None and not (use.shareable and disk in shared):
                found.append(self._words.get(use.name, f"the disk {use.source.place}"))
        return found


def of_the_host(want: VirtualMachineSpec, world: World) -> Iterable[Refusal]:
    """Block devices on which something of the host itself is."""
    for use in sources.uses(want, world):
        if found := sources.host_uses(use.source, world.live.devices):
            yield Refusal(reason="HostDiskInUse", message=sources.host_disk(use, found), advice=sources.HOST_DISK)


_FOREIGN = "take it out of the document: it stays; or declare a copy of it (qemu-img convert -O raw)"
_OVERLAY = (
    "its newest data may be there: merge it (virsh blockcommit VM DISK --active --pivot --wait; qemu-img commit while "
    "the VM is off), or declare a RAW copy of it"
)


def foreign(doc: Document, domain: Domain, found: differ.Differences, world: World) -> Iterable[Refusal]:
    """Disks of the domain that are no RAW disks: the document's place would be opened in their format.

    Nor is such a disk taken off a VM of ours: what made it so (a snapshot, a mirror) may hold its newest data, and
    nothing else says where those are. One that a VM had before us stays in it anyway.
    """
    if domain.inactive is None:
        return
    raw = observe.parsed(domain.inactive)
    names = observe.names_of(raw, differ.known(doc, world))
    mark = raw.note.mark
    ours = mark is not None and not mark.adopted
    for disk, source in raw.sources.items():
        name = names.get(disk, disk)
        paths = {f"spec.disks[{name}].{word}" for word in ("volume", "source")}
        if ours:
            paths.add(f"spec.disks[{name}]")
        if source.foreign and paths & found.define.keys():
            yield Refusal(
                reason="Format",
                message=f"disk {name} is {source.text}, and what a document declares is RAW",
                advice=_OVERLAY if ours else _FOREIGN,
            )
