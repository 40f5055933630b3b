"""What a change of the running instance takes, where that depends on more than its field: on what the instance has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from cell_reconciler.kinds.virtual_machine import observe, xml
from cell_reconciler.kinds.virtual_machine import running as instance
from cell_reconciler.kinds.virtual_machine.codec import consoles
from cell_reconciler.kinds.virtual_machine.spec import DiskBus, VirtualMachineSpec
from cell_reconciler.model.change import FieldChange
from cell_reconciler.model.fields import Effect
from cell_reconciler.model.live import Domain
from cell_reconciler.model.storage import DiskSource

# Buses that take a disk while the guest runs; IDE and SATA do not.
_PLUGGED = (DiskBus.VIRTIO, DiskBus.SCSI)
_DISKS = "spec.disks["


def told(
    changes: Iterable[FieldChange],
    want: VirtualMachineSpec,
    running: VirtualMachineSpec,
    domain: Domain,
    sources: Mapping[str, DiskSource],
) -> list[FieldChange]:
    """Each of the changes with its effect; ``running`` is what the instance has, ``sources`` those of the document."""
    found = tuple(changes)
    whole = {c.path[len(_DISKS) : -1]: c for c in found if c.path.startswith(_DISKS) and c.path.endswith("]")}
    renamed = _renamed(whole, sources, domain)
    leaving = {name for name, c in whole.items() if c.want is None and not c.ignored} - renamed
    effects = (
        Effect.RESTART if c.path.startswith(_DISKS) and c.path[len(_DISKS) : -1] in renamed
        else _effect(c, want, running, domain, leaving)
        for c in found
    )  # fmt: skip
    return [msgspec.structs.replace(c, effect=effect) for c, effect in zip(found, effects, strict=True)]


def _renamed(whole: Mapping[str, FieldChange], sources: Mapping[str, DiskSource], domain: Domain) -> set[str]:
    """Disks that come and go, and are the same one by another name: the instance keeps it by the name that it has."""
    if len(whole) < 2:
        return set()
    there = observe.parsed(domain.active or "<domain/>").sources
    gone = {there[name].place: name for name, c in whole.items() if c.want is None and name in there}
    come = {sources[name].place: name for name, c in whole.items() if c.have is None and name in sources}
    return {name for place in gone.keys() & come.keys() for name in (gone[place], come[place])}


def _effect(
    change: FieldChange, want: VirtualMachineSpec, running: VirtualMachineSpec, domain: Domain, leaving: Collection[str]
) -> Effect:
    """``leaving``: names of the disks that are unplugged."""
    path = change.path
    if path.startswith("spec.interfaces[") and not path.endswith("]") and _on_card(path, want, running):
        return Effect.RESTART  # libvirt changes nothing of a virtual function that a guest drives
    if path.endswith("]") and path.startswith(("spec.interfaces[", "spec.hostDevices[", _DISKS)):
        is_live = not path.startswith(_DISKS) or _plugged(change)
    elif path == "spec.cpu.sockets":
        is_live = _sockets(want, running)
    elif path == "spec.memory.guest":
        is_live = bool(module(want, running, domain))
    elif path == "spec.ioThreads":
        is_live = not instance.held(want, _tree(domain.active), _tree(domain.inactive), leaving)
    elif path == "spec.guestAgent":
        is_live = not want.guest_agent or consoles.takes_channels(_tree(domain.active))
    else:
        return change.effect
    return Effect.LIVE if is_live else Effect.RESTART


def _plugged(change: FieldChange) -> bool:
    disk = change.want if change.have is None else change.have
    return isinstance(disk, dict) and disk.get("bus") in _PLUGGED


def _sockets(want: VirtualMachineSpec, running: VirtualMachineSpec) -> bool:
    more, most = want.cpu.sockets > running.cpu.sockets, running.cpu.max_sockets
    same = (want.cpu.cores, want.cpu.threads) == (running.cpu.cores, running.cpu.threads)
    return bool(more and same and most and want.cpu.sockets <= most)


def module(want: VirtualMachineSpec, running: VirtualMachineSpec, domain: Domain) -> int:
    """Bytes of memory that are plugged in to make the instance as wanted; 0 when none can be."""
    return instance.module(want, running, _tree(domain.active))


def _tree(text: str | None) -> Any:
    return xml.parse(text or "<domain/>")


def _on_card(path: str, *sides: VirtualMachineSpec) -> bool:
    """Is the interface of a path a virtual function of a card, as it shall be or as it is?"""
    name = path.partition("[")[2].partition("]")[0]
    return any(nic.name == name and nic.sriov is not None for side in sides for nic in side.interfaces)
