"""Runs ``cellctl`` and lets something go wrong in it at its N-th writing call (0: the first).

``python -m tests.live.fault_driver HOW N ARGS…``. HOW is ``kill`` (SIGKILL just before the call), ``fail`` (that call
is refused, as by the kernel), ``fail-from`` (that one and all later ones) or ``stop`` (SIGSTOP when a guarded change is
made and nothing was probed yet; N does not count).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from cell_reconciler.cli.main import main
from cell_reconciler.converge import pending
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.errors import StepFailed


def install(how: str, limit: int) -> None:
    count, calls = Writes.add, [0]

    def add(self: Writes, call: str) -> None:
        number, calls[0] = calls[0], calls[0] + 1
        if how == "kill" and number >= limit:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == limit or (how == "fail-from" and number > limit):
            raise StepFailed(f"injected: {call}")
        count(self, call)

    Writes.add = add  # type: ignore[method-assign] # the point of this file


def stop_when_made() -> None:
    update = pending.update

    def stop(state_dir: str | Path, found: Any) -> bool:
        os.kill(os.getpid(), signal.SIGSTOP)
        return update(state_dir, found)

    pending.update = stop


if __name__ == "__main__":
    if sys.argv[1] == "stop":
        stop_when_made()
    else:
        install(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
