"""The snapshots of a volume: the steps that are due now. Pure: the time is that of the observation.

They are upkeep: ``diff`` shows them and calls nothing different, for a pipeline must not fail every hour because a
snapshot is due; ``apply`` and ``run`` make them. Nobody waits for them, and one that fails leaves the volume Ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cell_reconciler.kinds.contract import Observed
from cell_reconciler.kinds.volume import notes, schedule
from cell_reconciler.kinds.volume.actions import DeleteSnapshots, TakeSnapshot
from cell_reconciler.kinds.volume.spec import VolumeSpec
from cell_reconciler.model.change import Action, Step
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Image, Snapshot
from cell_reconciler.model.storage import PoolTarget, snapshot_name, snapshot_time

FAILED = "SnapshotFailed"  # the condition


def steps(doc: Document, have: Observed | None, target: PoolTarget, at: datetime | None) -> Iterator[Step]:
    """``have`` None: the volume is made by the steps before. ``at`` None: nothing is due."""
    spec: VolumeSpec = doc.spec
    if spec.snapshots is UNSET or at is None or target.backend != "rbd":
        return
    image: Image | None = have.detail if have is not None else None
    found = image.snapshots if image is not None else None
    if found is None and image is not None and notes.schedule(image) is not UNSET:
        return  # its snapshots cannot be read
    name = doc.key.name
    ours = _ours(found or ())
    if schedule.due(ours, at, spec.snapshots.every):
        new = schedule.slot(at, spec.snapshots.every)
        ours[new] = Snapshot(name=snapshot_name(new))
        take = TakeSnapshot(target=target, name=name, snapshot=ours[new].name)
        yield _step(doc, "volume.snapshot", f"take snapshot {ours[new].name} of volume {name}", take)
    gone = [ours[time].name for time in schedule.expired(ours, at, spec.snapshots) if not ours[time].held]
    if gone:
        what = gone[0] if len(gone) == 1 else f"{len(gone)} snapshots, {gone[0]} to {gone[-1]},"
        delete = DeleteSnapshots(target=target, name=name, snapshots=tuple(gone))
        yield _step(doc, "volume.snapshot-delete", f"delete {what} of volume {name}, past its retention", delete)


def condition(doc: Document, have: Observed | None, at: datetime | None) -> Iterator[Condition]:
    """Whether the last snapshot is as old as it should not be, and of when it is."""
    spec: VolumeSpec = doc.spec
    if spec.snapshots is UNSET or have is None or at is None:
        return
    found = have.detail.snapshots
    if found is None:
        if notes.schedule(have.detail) is not UNSET:
            message = "its snapshots cannot be read: they were written by a Ceph before Nautilus"
            yield Condition(type="SnapshotsOverdue", status=Truth.UNKNOWN, reason="Unreadable", message=message)
        return
    ours = _ours(found)
    every = spec.snapshots.every
    last = max((time for time in ours if time.timestamp() <= at.timestamp() + every), default=None)
    late = last is None or (at - last).total_seconds() >= 2 * every
    others = f", {len(found) - len(ours)} of others" if len(found) > len(ours) else ""
    when = f"the last one is of {last.isoformat()}" if last else "none was taken yet"
    yield Condition(
        type="SnapshotsOverdue",
        status=Truth.TRUE if late else Truth.FALSE,
        reason="NoneTaken" if last is None else "TooOld" if late else "UpToDate",
        message=f"{when}; {len(ours)} by schedule{others}",
    )


def _ours(found: tuple[Snapshot, ...]) -> dict[datetime, Snapshot]:
    return {time: snapshot for snapshot in found if (time := snapshot_time(snapshot.name)) is not None}


def _step(doc: Document, op: str, text: str, action: Action) -> Step:
    return Step(key=doc.key, op=op, text=text, action=action, upkeep=FAILED)
