"""How commands show that a change of the network waits for a confirmation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cell_reconciler.converge.pending import Pending


def read(state_dir: str | Path) -> Pending | None:
    """The change that is not confirmed yet, if there is one. Raises CellError when the file cannot be read.

    None also for a user who may not read it: it is root's.
    """
    from cell_reconciler.converge.pending import current, pending_path

    path = pending_path(state_dir)
    try:
        if path.exists() and not os.access(path, os.R_OK):
            return None
    except PermissionError:
        return None
    return current(state_dir)


def plain(found: Pending | None) -> dict[str, Any] | None:
    """For JSON."""
    if found is None:
        return None
    return {
        "keys": [str(key) for key in found.keys],
        "links": sorted(found.touched),
        "confirmedBy": found.confirms.value,
        "made": found.made,
        "by": found.by,
        "since": found.since,
        "until": found.until,
        "seconds": round(found.seconds, 1),
    }


def line(found: Pending) -> str:
    """For people: what waits, how long still, and what can be said."""
    left = f"{found.seconds:.0f} s left" if not found.over else "its time is over: it is being undone"
    what = f"a change of {found.what} waits for a confirmation until {found.until} ({left})"
    if found.waits:
        return f"{what}: 'cellctl commit' keeps it, 'cellctl rollback' undoes it now"
    return f"{what} by its probes: 'cellctl rollback' undoes it now" if found.confirms == "probes" else what
