"""The guard: a small process that undoes an unconfirmed change at its deadline, whoever died meanwhile.

Started in a session of its own. Everything that it will need is imported and opened before the change is begun: what
it guards against may also be a disk that is gone or a package that is being replaced. It holds ``guard.lock`` for its
life, so that others see whether it lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from datetime import UTC, datetime

from cell_reconciler.converge import pending as state
from cell_reconciler.converge.confirm import LOADED, READY
from cell_reconciler.converge.pending import Pending
from cell_reconciler.converge.revert import revert_known
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError
from cell_reconciler.kinds import KINDS, kind
from cell_reconciler.status.records import Event
from cell_reconciler.status.store import StatusStore

TRIES, PAUSE = 24, 5.0  # how often, and every how many seconds, what failed is tried again


def main(state_dir: str) -> int:
    """Exit 0: confirmed or reverted; 1: something could not be undone (it is tried again by the next run)."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # of a session, a service or a terminal that ends
    doors = Doors()
    for name in KINDS:
        kind(name)
    state.network(doors, "")
    _say(LOADED)
    os.read(0, 1)  # the end of it: the file is there, or whoever started us is not any more
    with state.guarding(state_dir):
        mine = state.current(state_dir)
        if mine is None:
            return 0  # it died before there was anything to guard
        _say(READY)
        os.close(1)
        if _decided_before(state_dir, mine):
            return 0
        return _undo(state_dir, mine, doors)


def _say(word: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever started us was killed: the more we are needed
        os.write(1, word)


def _decided_before(state_dir: str, mine: Pending) -> bool:
    """Wait; True when the change was confirmed, or undone by another process, before its deadline."""
    while not mine.over:
        time.sleep(0.2)
        with contextlib.suppress(CellError, OSError):  # unreadable: what we read before is what is undone
            found = state.current(state_dir)
            if found is None:
                return not state.reverting_path(state_dir).exists()
            if found.id != mine.id:
                return True  # a later change, which has a guard of its own
    return False


def _undo(state_dir: str, mine: Pending, doors: Doors) -> int:
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE)
        errors = revert_known(state_dir, mine, doors)
        if errors is None:
            return 0
        text = "an unconfirmed change on the management path was undone by the guard"
        if errors:
            text = f"the guard could not undo a change on the management path: {'; '.join(errors)}"
        _tell(state_dir, text)
        if not errors:
            return 0
    return 1


def _tell(state_dir: str, text: str) -> None:
    with contextlib.suppress(OSError, CellError):  # a full disk must not keep it from trying again
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        StatusStore(state_dir).add_events([Event(time=when, type="Warning", reason="RolledBack", message=text)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
