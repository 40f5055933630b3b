"""The guard: a small process that undoes an unconfirmed change at its deadline, whoever died meanwhile.

Started by ``confirm.begin`` in a session of its own. Everything that it will need is imported and opened before it
says that it watches: what it guards against may also be a disk that is gone or a package that is being replaced.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from datetime import UTC, datetime

import msgspec

from cell_reconciler.converge.confirm import READY, Pending, now, pending_path, reverting_path
from cell_reconciler.converge.revert import revert
from cell_reconciler.drivers import Doors
from cell_reconciler.kinds import KINDS, kind
from cell_reconciler.status.records import Event
from cell_reconciler.status.store import StatusStore

TRIES, PAUSE = 24, 5.0  # how often, and every how many seconds, what failed is tried again


def main(state_dir: str) -> int:
    """Exit 0: confirmed or reverted; 1: something could not be undone (it is tried again by the next run)."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # of a session, a service or a terminal that ends
    mine = pending_path(state_dir).read_bytes()
    pending = msgspec.json.decode(mine, type=Pending)
    doors = Doors()
    for name in KINDS:
        kind(name)
    doors.netlink.observe()
    os.write(1, READY)
    os.close(1)
    if _over_before(state_dir, mine, pending.deadline):
        return 0
    return _undo(state_dir, doors)


def _over_before(state_dir: str, mine: bytes, deadline: float) -> bool:
    """Wait; True when the change was confirmed, or undone by another process, before its deadline."""
    while now() < deadline:
        try:
            if pending_path(state_dir).read_bytes() != mine:
                return True  # a later change, which has a guard of its own
        except FileNotFoundError:
            return not reverting_path(state_dir).exists()
        time.sleep(0.2)
    return False


def _undo(state_dir: str, doors: Doors) -> int:
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE)
        errors = revert(state_dir, doors)
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
    with contextlib.suppress(OSError):  # a full disk must not keep it from trying again
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        StatusStore(state_dir).add_events([Event(time=when, type="Warning", reason="RolledBack", message=text)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
