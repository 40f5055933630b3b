"""What a disk's ``volume`` or ``source`` comes to on this host, and which of both a place is called by. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine.spec import Disk, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec import source as fields
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import HostDevices, overlap, uses_of
from cell_reconciler.model.key import Key
from cell_reconciler.model.storage import DiskSource, PoolTarget, disk_source

HOST_DISK = "name another disk, or let the host give it up first: umount, swapoff, vgchange -an, mdadm --stop"
_TOLD = 3  # uses of a disk that are told


class Use(msgspec.Struct, frozen=True):
    """One disk that is about to be opened: what a step needs to ask who else has it open."""

    name: str  # of the disk
    source: DiskSource
    pool: PoolTarget | None = None  # of a volume: its backend is asked
    image: str = ""  # there
    shareable: bool = False


def place(
    volume: str, documents: Mapping[Key, Document], pools: Mapping[str, PoolTarget]
) -> tuple[PoolTarget, str] | None:
    """Pool and image of a volume: a Volume document's, or ``POOL/NAME`` in a declared pool; None when it is unknown."""
    doc = documents.get(Key("Volume", volume))
    pool, _, name = (doc.spec.pool, "", volume) if doc else volume.partition("/")
    target = pools.get(pool)
    return (target, name) if target and name else None


def parts(source: fields.Source) -> int:
    """How many places it names; one, where it has passed its rules."""
    return sum(bool(part) for part in (source.rbd, source.iscsi, source.file, source.block))


def claimed(disk: Disk, documents: Mapping[Key, Document], pools: Mapping[str, PoolTarget]) -> str:
    """The place of a disk, as far as documents tell it; empty when they do not."""
    if disk.source:
        return fields.wanted(disk.source).place if parts(disk.source) == 1 else ""
    found = place(disk.volume, documents, pools) if disk.volume else None
    return disk_source(*found).place if found else ""


def use(disk: Disk, world: World) -> Use | None:
    """How a domain opens a disk; None when it cannot be told where its volume is."""
    if disk.source:
        return Use(disk.name, fields.wanted(disk.source), shareable=disk.shareable)
    found = place(disk.volume, world.documents, world.pools) if disk.volume else None
    if found is None:
        return None
    return Use(disk.name, disk_source(*found), *found, shareable=disk.shareable)


def uses(spec: VirtualMachineSpec, world: World) -> tuple[Use, ...]:
    """All disks of a VM that can be told."""
    return tuple(found for disk in spec.disks if (found := use(disk, world)) is not None)


def host_uses(source: DiskSource, devices: HostDevices | None) -> tuple[str, ...]:
    """What of the host itself is on a block device, each with its chain; empty for other sources."""
    block = devices.block_at(source.path) if devices and source.backend == "block" else None
    return uses_of(devices, block.name) if devices and block else ()


def host_disk(use: Use, found: tuple[str, ...]) -> str:
    """Why a disk of the host is not given away."""
    return f"disk {use.name} ({use.source.path}) is this host's own: {'; '.join(found[:_TOLD])}"


def same_block(one: DiskSource, other: DiskSource, devices: HostDevices | None) -> bool:
    """Does writing to one block device change the other? They have many names, and are parts of each other."""
    if devices is None or (one.backend, other.backend) != ("block", "block"):
        return False
    a, b = devices.block_at(one.path), devices.block_at(other.path)
    return a is not None and b is not None and overlap(devices, a.name, b.name)


def wanted(spec: VirtualMachineSpec, world: World) -> dict[str, DiskSource]:
    """The sources of all disks of a VM that can be told, by name of the disk."""
    return {found.name: found.source for found in uses(spec, world)}


def volume_of(source: DiskSource, pools: Mapping[str, PoolTarget]) -> str | None:
    """``POOL/NAME`` of a disk's source, whatever the connection; None for a place in no declared pool."""
    for name, target in pools.items():
        if (target.backend == "rbd", source.backend) not in ((True, "rbd"), (False, "file")) or source.foreign:
            continue
        place, suffix = (source.image, "") if source.image else (source.path, ".raw")
        image = place.removeprefix(f"{target.place.rstrip('/')}/").removesuffix(suffix)
        if image and "/" not in image and place.endswith(f"/{image}{suffix}") and place.startswith(target.place):
            return f"{name}/{image}"
    return None
