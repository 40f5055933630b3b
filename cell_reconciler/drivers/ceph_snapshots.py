"""Takes and deletes snapshots of RBD images, and asks first whether whoever has the image open still answers.

librbd lets the client that holds the exclusive lock take part in each change. One that is silent for 30 s (a stopped
QEMU, a host without network) it takes for dead: it breaks the lock and has that client blocklisted, so that the VM
finds its disk failing when it goes on. For a change that somebody asked for that is as it should be; a snapshot that is
due is not worth it, and waits. A reconciler that was killed leaves such a lock, too: each writes down who it is before
it opens an image, so that its own successors need not wait.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from cell_reconciler.drivers.ceph_headers import string
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.errors import Refused, Transient
from cell_reconciler.model.live import Snapshot
from cell_reconciler.model.storage import snapshot_time

WRITER = "cell/writer"  # image-meta: the client of the last reconciler that changed the image
PATIENCE = 3000  # ms that a client may take to acknowledge; one that lives takes one or two


def ask_owners(
    ioctx: Any, name: str, place: str, me: str, writes: Writes, rados: Any, rbd: Any, *, upkeep: bool
) -> None:
    """Raises Transient when a client that has the image open does not answer. ``rbd.ImageNotFound`` passes.

    ``me``: the client by which it will be opened.
    """
    with rbd.Image(ioctx, name, read_only=True) as image:
        header = f"rbd_header.{image.id()}"
        watchers = {watcher["addr"] for watcher in image.watchers_list()}
        lockers = {address: client for client, _, address in (image.list_lockers() or {}).get("lockers", ())}
        last = dict(image.metadata_list()).get(WRITER)
    lost = sorted(address for address, client in lockers.items() if address not in watchers and client != last)
    if lost and upkeep:
        raise Transient(f"image {place} is locked by {', '.join(lost)}, which does not answer", _LOST)
    if watchers:
        try:
            ioctx.notify(header, "", PATIENCE)  # an empty message: look at the header again
        except rados.TimedOut as error:
            where = ", ".join(sorted(watchers))
            raise Transient(f"image {place} is open at {where}, which does not answer", _SILENT) from error
    if last != me:
        writes.add("rbd.writer")
        ioctx.execute(header, "rbd", "metadata_set", struct.pack("<I", 1) + string(WRITER) + string(me))


_SILENT = "a change now could cut it off from its disk; it is made when it answers"
_LOST = "when its VM is started again it goes on; if that client is gone for good: `rbd lock ls` and `rbd lock rm`"


def take(image: Any, snapshot: str, writes: Writes, rbd: Any) -> None:
    """Nothing to do when it is there: another host that shares the pool was faster."""
    writes.add("rbd.create_snap")
    with suppress(rbd.ImageExists):
        image.create_snap(snapshot)


def delete(image: Any, found: Iterable[Snapshot], place: str, writes: Writes, rbd: Any) -> None:
    """These snapshots of an open image. Raises Refused, before any goes, for one that is not ours or is held."""
    found = tuple(found)
    for snapshot in found:
        where = f"{place}@{snapshot.name}"
        if snapshot_time(snapshot.name) is None:
            raise Refused(f"snapshot {where} is not ours", f"delete it with `rbd snap rm {where}`")
        if snapshot.held:
            raise Refused(f"snapshot {where} is protected, or has clones", "flatten the clones and unprotect it")
    for snapshot in found:
        writes.add("rbd.remove_snap")
        with suppress(rbd.ImageNotFound):
            image.remove_snap(snapshot.name)
