"""What an operator says about a change that waits: keep it, or undo it. Neither needs the host's lock, nor specs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cell_reconciler.converge import confirmed, pending
from cell_reconciler.converge.boot import note
from cell_reconciler.converge.lock import holder
from cell_reconciler.converge.pending import Confirms, Pending
from cell_reconciler.converge.revert import revert
from cell_reconciler.converge.undone import Undone
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError, Refused

_NOTHING = "cellctl events tells what became of the last one"


def commit(state_dir: str | Path) -> Pending:
    """Keep the change; it is the last confirmed network from now on. Raises Refused when there is none to be kept."""
    found = pending.current(state_dir)
    if found is None:
        raise Refused("no change waits for a confirmation", _NOTHING)
    if found.over:
        raise Refused(f"the change of {found.what} is being undone: its time was over at {found.until}", _NOTHING)
    if found.confirms == Confirms.PROBES:
        advice = f"wait until {found.until} at most; cellctl rollback undoes it now"
        raise Refused(f"the change of {found.what} is confirmed by its probes", advice)
    if not found.made:
        who = holder(state_dir)
        why = f"is still being made by {who}" if who else "was cut short"
        raise Refused(f"the change of {found.what} {why}", "cellctl rollback undoes it now")
    if not pending.confirm(state_dir):
        raise Refused(f"the change of {found.what} has just been undone", _NOTHING)
    Undone(state_dir).forget(found.keys)
    if found.kept:
        confirmed.save(state_dir, msgspec.convert(found.kept, confirmed.File))
    note(state_dir, "Normal", "Confirmed", f"the change of {found.what} was confirmed by an operator")
    return found


def rollback(state_dir: str | Path, doors: Doors) -> Pending:
    """Undo the change at once, whoever was to confirm it, and also one that could not be undone before.

    Raises Refused when there is none, CellError when something could not be undone (it is tried again).
    """
    found = pending.current(state_dir) or pending.read(pending.reverting_path(state_dir))
    if found is None:
        raise Refused("no change waits for a confirmation", _NOTHING)
    errors = revert(state_dir, doors, blame=True)
    if errors is None:
        raise Refused(f"the change of {found.what} has just been confirmed or undone", _NOTHING)
    if errors:
        text = f"the change of {found.what} could not be undone entirely: {'; '.join(errors)}"
        raise CellError(text, "the guard and each run try it again")
    note(state_dir, "Warning", "RolledBack", f"the change of {found.what} was undone by an operator")
    return found
