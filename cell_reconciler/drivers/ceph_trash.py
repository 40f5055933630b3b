"""RBD's trash: what lies there, and the way back. An image keeps its id, its data, its snapshots and its image-meta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from cell_reconciler.drivers import ceph_creation as creation
from cell_reconciler.drivers import ceph_snapshots
from cell_reconciler.drivers.ceph_details import read_details
from cell_reconciler.drivers.ceph_headers import read_headers
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.pool_record import Record, is_ours_in_trash
from cell_reconciler.errors import Refused, StepFailed, Transient
from cell_reconciler.model.live import Snapshot, Trashed
from cell_reconciler.model.mark import Mark


def listed(ioctx: Any, rados: Any, rbd: Any) -> tuple[Trashed, ...]:
    """What people and we put there, the newest first; not what mirrors and migrations did."""
    entries = [entry for entry in rbd.RBD().trash_list(ioctx) if entry["source"] == "USER"]
    headers = read_headers(ioctx, (entry["id"] for entry in entries), rados.OSError)
    found = []
    for entry in entries:
        header = headers.get(entry["id"])
        record = Record.parse(header.mark, entry["id"]) if header else None
        found.append(
            Trashed(
                id=entry["id"],
                name=entry["name"],
                at=_text(entry["deletion_time"]),
                until=_text(entry["deferment_end_time"]),
                size=header.size if header else None,
                mark=record.mark if record else None,
                notes=record.notes if record else {},
            )
        )
    return tuple(sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True))


def restore(
    ioctx: Any, identity: str, name: str, place: str, notes: Mapping[str, str], writes: Writes, rados: Any, rbd: Any
) -> None:
    """Give it back under ``name``, and the notes before that: what it is pruned by must not count when it is back.

    Raises Refused when it is not there, or when the name is taken.
    """
    entry = _entry(ioctx, identity, place, rados, rbd)
    mark = Mark.parse(entry.mark)
    if name in (image["name"] for image in rbd.RBD().list2(ioctx)):
        raise _taken(f"{place}/{name}")
    if mark is not None and entry.notes != notes:
        with rbd.Image(ioctx, image_id=identity) as image:
            writes.add("rbd.metadata_set")
            creation.write_mark(image, mark, notes)
    writes.add("rbd.trash_restore")
    try:
        rbd.RBD().trash_restore(ioctx, identity, name)
    except rbd.ImageExists as error:
        raise _taken(f"{place}/{name}") from error
    except rbd.ImageNotFound as error:
        raise StepFailed(f"{identity} is not in the trash of {place} any more", "somebody was faster: look") from error


def purge(ioctx: Any, identity: str, place: str, writes: Writes, rados: Any, rbd: Any) -> None:
    """Destroy it. Raises Refused for what is not ours, is not to go yet, or has snapshots that are not ours."""
    entry = _entry(ioctx, identity, place, rados, rbd)
    if not is_ours_in_trash(entry):
        raise Refused(
            f"{entry.name} ({identity}) in the trash of {place} is not ours", f"rbd trash rm {place}/{identity}"
        )
    if entry.until and datetime.fromisoformat(entry.until) > datetime.now(UTC):
        raise Refused(f"{entry.name} ({identity}) stays in the trash of {place} until {entry.until}")
    details = read_details(ioctx, [identity], rados.OSError).get(identity)
    try:
        if details is not None and details.snapshots != ():
            with rbd.Image(ioctx, image_id=identity) as image:
                ceph_snapshots.delete(image, known(details.snapshots, place), f"{place}/{entry.name}", writes, rbd)
        writes.add("rbd.trash_remove")
        with suppress(rbd.ImageNotFound):
            rbd.RBD().trash_remove(ioctx, identity, False)
    except rbd.PermissionError as error:  # by the cluster's clock it is too early
        raise Refused(f"{entry.name} ({identity}) stays in the trash of {place} until {entry.until}") from error
    except rbd.ImageBusy as error:
        raise Transient(f"{entry.name} ({identity}) in the trash of {place} is open", "stop what uses it") from error


def known(snapshots: Iterable[Snapshot] | None, place: str) -> tuple[Snapshot, ...]:
    """Raises Refused for an image whose snapshots cannot be told."""
    if snapshots is None:
        raise Refused(f"the snapshots of {place} were written by a Ceph before Nautilus", "delete them with `rbd snap`")
    return tuple(snapshots)


def _entry(ioctx: Any, identity: str, place: str, rados: Any, rbd: Any) -> Trashed:
    entry = next((entry for entry in listed(ioctx, rados, rbd) if entry.id == identity), None)
    if entry is None:
        raise Refused(f"there is no {identity} in the trash of {place}", "cellctl trash list shows what is")
    return entry


def _taken(place: str) -> Refused:
    return Refused(f"{place} exists, and nothing is restored over it", "restore it --as another name")


def _text(time: datetime) -> str:
    """The binding gives times of UTC without saying so."""
    return time.replace(tzinfo=UTC).isoformat()
