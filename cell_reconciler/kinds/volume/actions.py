"""What is done to a volume. Each action reads before it writes and may be repeated after a crash at any point."""

from __future__ import annotations

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.errors import Transient
from cell_reconciler.kinds.volume import notes
from cell_reconciler.kinds.volume.room import Room
from cell_reconciler.model.live import Image
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import Origin, PoolTarget

AT_ONCE = 20  # snapshots that one call deletes


class VolumeAction(msgspec.Struct, frozen=True, kw_only=True):
    """Base: an action on the volume ``name`` of a pool."""

    target: PoolTarget
    name: str

    def image(self, doors: Doors) -> Image | None:
        return doors.pool(self.target).image(self.name)


class Create(VolumeAction, frozen=True, kw_only=True):
    """A sparse image that has its mark, and all its data, from the first moment."""

    size: int
    mark: Mark
    notes: dict[str, str]
    room: Room
    origin: Origin | None = None

    def done(self, doors: Doors) -> bool:
        image = self.image(doors)
        held = Mark.parse(image.mark) if image is not None else None
        return held is not None and held.owner == self.mark.owner

    def do(self, doors: Doors) -> None:
        pool = doors.pool(self.target)
        with self.room.entered(doors, self.target, self.name, self.size):
            pool.create(self.name, self.size, self.mark, self.notes, origin=self.origin, tell=doors.progress)


class SetMark(VolumeAction, frozen=True, kw_only=True):
    """Take over an image, or write what has changed beside the mark."""

    mark: Mark
    notes: dict[str, str]

    def done(self, doors: Doors) -> bool:
        image = self.image(doors)
        if image is None or image.mark != self.mark.to_text():
            return False
        return all(image.detail.get(key) == self.notes.get(key) for key in notes.ALL)

    def do(self, doors: Doors) -> None:
        doors.pool(self.target).set_mark(self.name, self.mark, self.notes)


class Grow(VolumeAction, frozen=True, kw_only=True):
    """To ``size`` bytes, while no VM has it open."""

    size: int
    room: Room

    def done(self, doors: Doors) -> bool:
        image = self.image(doors)
        return image is not None and image.size >= self.size

    def do(self, doors: Doors) -> None:
        """A QEMU elsewhere would not learn of it: it is grown by the host that runs the VM, or when that is off."""
        pool = doors.pool(self.target)
        if users := pool.users(self.name):
            message = f"volume {self.name} is open at {', '.join(users)}, and is grown by who has it open"
            raise Transient(message, "apply the document on the host that runs the VM, or shut the VM down")
        with self.room.entered(doors, self.target, self.name, self.size):
            pool.grow(self.name, self.size)


class GrowOnline(VolumeAction, frozen=True, kw_only=True):
    """To ``size`` bytes by the QEMU that has it open: image and guest get the new size at once, or neither does."""

    size: int
    room: Room
    vm: str
    device: str  # its name there: vda

    def done(self, doors: Doors) -> bool:
        image = self.image(doors)
        return image is not None and image.size >= self.size

    def do(self, doors: Doors) -> None:
        if not self.done(doors):  # it may have grown meanwhile, and libvirt shrinks a RAW disk without a word
            with self.room.entered(doors, self.target, self.name, self.size):
                doors.libvirt.block_resize(self.vm, self.device, self.size)


class Settings(VolumeAction, frozen=True, kw_only=True):
    """Set and unset options of the backend for this image."""

    values: dict[str, str]
    unset: tuple[str, ...] = ()

    def done(self, doors: Doors) -> bool:
        image = self.image(doors)
        if image is None:
            return False
        held = image.settings
        return self.values.items() <= held.items() and held.keys().isdisjoint(self.unset)

    def do(self, doors: Doors) -> None:
        doors.pool(self.target).set_settings(self.name, self.values, self.unset)


class TakeSnapshot(VolumeAction, frozen=True, kw_only=True):
    """By its name it is the same one on every host that shares the pool."""

    snapshot: str

    def done(self, doors: Doors) -> bool:
        return any(found.name == self.snapshot for found in doors.pool(self.target).snapshots(self.name))

    def do(self, doors: Doors) -> None:
        doors.pool(self.target).take_snapshot(self.name, self.snapshot)


class DeleteSnapshots(VolumeAction, frozen=True, kw_only=True):
    """Snapshots that are past their retention. One that was protected or cloned meanwhile stays."""

    snapshots: tuple[str, ...]

    def done(self, doors: Doors) -> bool:
        return not self._left(doors)

    def do(self, doors: Doors) -> None:
        left = self._left(doors)
        for start in range(0, len(left), AT_ONCE):  # each call has a deadline, and a deletion takes its time
            doors.pool(self.target).delete_snapshots(self.name, left[start : start + AT_ONCE])

    def _left(self, doors: Doors) -> list[str]:
        found = doors.pool(self.target).snapshots(self.name)
        return [snapshot.name for snapshot in found if snapshot.name in self.snapshots and not snapshot.held]


class Trash(VolumeAction, frozen=True, kw_only=True):
    """Move the data out of the way, restorable for ``seconds`` at least."""

    seconds: float = 0.0

    def done(self, doors: Doors) -> bool:
        return self.image(doors) is None

    def do(self, doors: Doors) -> None:
        doors.pool(self.target).trash(self.name, self.seconds)


class Remove(VolumeAction, frozen=True, kw_only=True):
    """Destroy the data."""

    def done(self, doors: Doors) -> bool:
        return self.image(doors) is None

    def do(self, doors: Doors) -> None:
        doors.pool(self.target).remove(self.name)
