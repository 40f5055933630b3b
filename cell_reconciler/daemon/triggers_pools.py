"""The thread that asks storage how it is: pools send no events, so each is asked something cheap from time to time.

While a pool does not answer the loop leaves it alone (a call to it costs its whole deadline), and this thread asks
again with a backoff of 1 to 5 s until it does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from cell_reconciler.daemon.hints import PoolBack, PoolLost, Tell
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError, Unreachable
from cell_reconciler.model.storage import PoolTarget

EVERY = 5.0  # seconds between questions while all is well
RETRY_FIRST, RETRY_CAP = 1.0, 5.0  # seconds between questions while it is not
NOBODY = "cell-reconciler-probe"  # an image that is not there: one lookup, answered by the storage itself


class PoolTrigger:
    """Watches the pools that ``targets()`` names now."""

    def __init__(self, doors: Doors, targets: Callable[[], Mapping[str, PoolTarget]], tell: Tell) -> None:
        self._doors = doors
        self._targets = targets
        self._tell = tell
        self._stopping = threading.Event()
        self._down: dict[str, float] = {}  # pool → delay until it is asked again
        self._next: dict[str, float] = {}

    def stop(self) -> None:
        """Ends ``run``."""
        self._stopping.set()

    def run(self) -> None:
        """The body of the thread."""
        while not self._stopping.is_set():
            targets = self._targets()
            for name in [name for name in self._next if name not in targets]:
                del self._next[name]
                self._down.pop(name, None)
            for name, target in targets.items():
                if time.monotonic() >= self._next.get(name, 0.0):
                    self._ask(name, target)
            soonest = min(self._next.values(), default=time.monotonic() + EVERY)
            self._stopping.wait(max(0.0, min(EVERY, soonest - time.monotonic())))

    def suspect(self, name: str) -> None:
        """The loop had no answer from this pool: ask it more often. Called by the loop's thread."""
        if name not in self._down:
            self._down[name] = RETRY_FIRST
            self._next[name] = 0.0

    def _ask(self, name: str, target: PoolTarget) -> None:
        try:
            self._doors.pool(target).image(NOBODY)
        except Unreachable as error:
            self._tell(PoolLost(name, error.reason))
            delay = self._down.get(name, RETRY_FIRST)
            self._down[name] = min(RETRY_CAP, delay * 1.5)
            self._next[name] = time.monotonic() + delay
            return
        except CellError:
            pass  # it answered, if only with an objection
        if self._down.pop(name, None) is not None:
            self._tell(PoolBack(name))
        self._next[name] = time.monotonic() + EVERY
