"""What every storage backend offers, and the table of backends. A new backend is one file and one line here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Protocol, cast

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.pool_progress import Tell, unheard
from cell_reconciler.errors import UsageError
from cell_reconciler.model.live import Image, Pool, Snapshot
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import Origin, PoolTarget

BACKENDS = {
    "rbd": "cell_reconciler.drivers.ceph",
    "directory": "cell_reconciler.drivers.directory",
}


class PoolDoor(Protocol):
    """A storage pool. All methods raise ``Unreachable`` when the backend does not answer in time."""

    def observe(self) -> tuple[Pool, tuple[Image, ...]]:
        """The pool and all its images, read in bulk. A pool that does not exist: ``exists=False`` and no images."""

    def image(self, name: str) -> Image | None:
        """One image, None when absent."""

    def users(self, name: str) -> tuple[str, ...]:
        """Who has the image open for writing now, in words; empty when nobody has, or when there is no such image."""

    def create_pool(self, mark: Mark) -> None:
        """Make the place, where the backend can; idempotent. Raises Refused where it cannot (rbd)."""

    def delete_pool(self) -> None:
        """Remove the empty place that we made; Refused when something is in it."""

    def create(
        self,
        name: str,
        size: int,
        mark: Mark,
        notes: Mapping[str, str] | None = None,
        *,
        origin: Origin | None = None,
        tell: Tell = unheard,
    ) -> None:
        """A sparse RAW image that carries the mark, and all its data, from the moment it has its name.

        ``origin``: where the data come from (None: zeros); ``tell`` hears how far they are. When that fails nothing
        of the name is left, and what a killed creation left under another one goes with the next creation. Refused
        when the origin is larger than ``size``, or is not what its checksum says; StepFailed when it is not there;
        Transient while somebody writes to it, or makes the volume.

        ``notes`` are kept beside the mark and come back in ``Image.detail`` (what must be known of the volume when
        its document is gone). Idempotent for an image that carries the same owner; Refused when a foreign one has
        the name.
        """

    def set_mark(self, name: str, mark: Mark, notes: Mapping[str, str] | None = None) -> None:
        """Write the mark of an existing image (adoption, new digest). ``notes`` None: they stay as they are."""

    def grow(self, name: str, size: int) -> None:
        """To ``size`` bytes; Refused when that would shrink it."""

    def remove(self, name: str) -> None:
        """Delete the data, and the snapshots of ours. Idempotent.

        Transient while somebody has it open; Refused when it is not ours, or has snapshots of others.
        """

    def trash(self, name: str, seconds: float = 0.0) -> None:
        """Move it out of the way so that it can be restored, for ``seconds`` at least; otherwise as ``remove``."""

    def restore(self, identity: str, name: str, notes: Mapping[str, str]) -> None:
        """Give what lies in the trash (``Pool.trash``) a name again; ``notes`` replace those beside its mark first.

        Refused when the name is taken, or nothing of that id lies there. Under another name than it had it is not ours.
        """

    def purge(self, identity: str) -> None:
        """Destroy what lies in the trash. Refused when it is not ours, or is not to go yet. Transient while it is open.

        Its snapshots go too, when they are ours and can; otherwise Refused.
        """

    def snapshots(self, name: str) -> tuple[Snapshot, ...]:
        """Of an image; empty when there is no such image. Refused by a backend that has none."""

    def take_snapshot(self, name: str, snapshot: str) -> None:
        """Idempotent. Transient, as every change of an image, while a client that has it open does not answer."""

    def delete_snapshots(self, name: str, snapshots: Collection[str]) -> None:
        """Those that are gone are gone. Refused, and none deleted, when one is not ours, is protected or has clones."""

    def set_settings(self, name: str, values: Mapping[str, str], unset: Collection[str]) -> None:
        """Options of the backend for this image. Refused for one that the backend does not take."""

    def close(self) -> None: ...


def open_pool(target: PoolTarget, writes: Writes) -> PoolDoor:
    """The driver of the target's backend. Raises UsageError for a backend that does not exist."""
    if target.backend not in BACKENDS:
        raise UsageError(f"{target.backend!r} is not a storage backend", f"one of {', '.join(BACKENDS)}")
    return cast(PoolDoor, import_module(BACKENDS[target.backend]).open_pool(target, writes))
