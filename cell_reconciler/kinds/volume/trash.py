"""What lies in the trash under the name of a declared volume: never hidden by an empty one of that name. Pure."""

from __future__ import annotations

from datetime import datetime

from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live, Trashed
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget


def lies_there(doc: Document, target: PoolTarget, live: Live) -> Refusal | None:
    """Why no new volume is made: the old one is in the trash, and is still kept there."""
    pool = live.pools.get(target.name)
    found = [
        entry for entry in (pool.trash if pool is not None else ()) if _is_it(entry, doc) and _kept(entry, live.at)
    ]
    if not found:
        return None
    name, entry = doc.key.name, found[0]
    since = f"since {entry.at}" if entry.at else "already"
    restore = f"cellctl trash restore {name} --id {entry.id}"
    return Refusal(
        reason="InTrash",
        message=f"volume {name} lies in the trash of {target.place} {since}, and an empty one would hide it",
        advice=f"to bring it back: {restore}; to begin anew, put it aside: {restore} --as {name}-old",
    )


def _is_it(entry: Trashed, doc: Document) -> bool:
    mark = Mark.parse(entry.mark)
    return entry.name == doc.key.name and mark is not None and mark.owner == doc.key


def _kept(entry: Trashed, at: datetime | None) -> bool:
    """After its time it may go at any moment, and stops nobody."""
    return not entry.until or at is None or datetime.fromisoformat(entry.until) > at
