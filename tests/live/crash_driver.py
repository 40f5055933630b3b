"""Runs ``cellctl`` and kills it (SIGKILL, as a power cut would) just before its N-th writing call.

``python -m tests.live.crash_driver N ARGS…``. Kills before call N for every N are kills after every call, and so
after every step, of the run.
"""

from __future__ import annotations

import os
import signal
import sys

from cell_reconciler.cli.main import main
from cell_reconciler.drivers.doors import Writes


def install(limit: int) -> None:
    """From now on the process dies before writing call ``limit`` (0: the first)."""
    count = Writes.add

    def add(self: Writes, call: str) -> None:
        if self.total >= limit:
            os.kill(os.getpid(), signal.SIGKILL)
        count(self, call)

    Writes.add = add  # type: ignore[method-assign] # the point of this file


if __name__ == "__main__":
    install(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
