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


def conflicts(name: str, want: VirtualMachineSpec, world: World) -> Iterable[Refusal]:
    """Disks that another domain of the host has, by whatever name; both may say that they share it."""
    mine = {use.source.place: use for use in sources.uses(want, world)}
    words = {disk.name: f"volume {disk.volume}" for disk in want.disks if disk.volume}
    for other, raw in observe.others(world.live, name):
        shared = {disk.name for disk in raw.spec.disks if disk.shareable}
        for disk, source in raw.sources.items():
            use = mine.get(source.place)
            if use is None or (use.shareable and disk in shared):
                continue
            message = f"domain {other} has the {words.get(use.name, f'disk {source.place}')} already"
            advice = f"change one of them, or remove domain {other}"
            yield Refusal(reason="Conflict", message=message, advice=advice)


def foreign(doc: Document, domain: Domain, found: differ.Differences, world: World) -> Iterable[Refusal]:
    """Disks of the domain that are no RAW disks: the document's place would be opened in their format."""
    if domain.inactive is None:
        return
    raw = observe.parsed(domain.inactive)
    names = observe.names_of(raw, differ.known(doc, world))
    for disk, source in raw.sources.items():
        name = names.get(disk, disk)
        paths = {f"spec.disks[{name}].{word}" for word in ("volume", "source")}
        if source.foreign and paths & found.define.keys():
            yield Refusal(
                reason="Format",
                message=f"disk {name} is {source.text}, and what a document declares is RAW",
                advice="take it out of the document: it stays; or declare a copy of it (qemu-img convert -O raw)",
            )
