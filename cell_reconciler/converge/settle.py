"""What becomes of a pending change when the next process comes along. The caller holds the host's lock.

- It waits for an operator, in time: it is left alone; its guard is started again if it died.
- The process that made it is gone, or its time is over: it is undone.
- It is of an earlier boot: it went with the power, and the last confirmed network is brought back.
- Its file is damaged: its guard read it in time and undoes it. Without a guard nobody knows what was before: the last
  confirmed network is brought back.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from cell_reconciler.converge import confirm, pending
from cell_reconciler.converge.boot import Restored, boot, discard, set_aside
from cell_reconciler.converge.pending import Confirms
from cell_reconciler.converge.revert import revert
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError


def settle(state_dir: str | Path, doors: Doors) -> list[str]:
    """What was done, in words. Raises CellError while a damaged file has a guard."""
    try:
        found = pending.current(state_dir) or pending.read(pending.reverting_path(state_dir))
    except CellError:
        if pending.guard_lives(state_dir):
            raise
        return [_unreadable(state_dir, doors)]
    if found is None:
        return []
    asked = found.confirms == Confirms.OPERATOR and found.made
    if found.boot != pending.boot_id():
        results: list[Restored] = []
        with contextlib.suppress(CellError):  # unreadable: what the change itself wrote down is brought back
            results = boot(state_dir, doors)
        if results:
            return [discard(state_dir)]
    elif found.waits and pending.pending_path(state_dir).exists():
        return _keep_guard(state_dir, doors)
    return _undo(state_dir, doors, blame=asked)


def _unreadable(state_dir: str | Path, doors: Doors) -> str:
    try:
        boot(state_dir, doors)
    except CellError as error:
        return set_aside(state_dir, f"a change on the management path cannot be read, nor undone: {error.message}")
    return discard(state_dir)


def _keep_guard(state_dir: str | Path, doors: Doors) -> list[str]:
    if pending.guard_lives(state_dir):
        return []
    try:
        confirm.restart_guard(state_dir)
    except CellError:
        return _undo(state_dir, doors, blame=False)
    return ["the guard of the unconfirmed change had died and was started again"]


def _undo(state_dir: str | Path, doors: Doors, *, blame: bool) -> list[str]:
    errors = revert(state_dir, doors, blame=blame)
    if errors:
        return [f"a change on the management path could not be undone: {'; '.join(errors)}"]
    return [] if errors is None else ["an unconfirmed change on the management path was rolled back"]
