"""How a step waits for a guest: until it is so, until the time is over, or until nobody wants to wait any longer.

A guest may take as long as ``shutdownTimeout`` says, or for ever; whoever ends this process is not to wait for it. So
all such waits come here, where SIGINT and SIGTERM end them at once, and where one can see what is waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cell_reconciler.errors import Interrupted

_POLL = 0.25  # seconds between two looks at a guest


class Waiting:
    """``stop`` set: no step waits any longer, and none that has not begun is begun (see the executor)."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.looked = 0.0  # when a guest that is waited for was last looked at, by time.monotonic()
        self._for: dict[int, str] = {}  # by thread

    def until(self, true: Callable[[], bool], seconds: float, what: str) -> bool:
        """Is it so within ``seconds``? Raises Interrupted, naming ``what`` was waited for, when told to stop."""
        end = time.monotonic() + seconds
        me = threading.get_ident()
        self._for[me] = what
        try:
            while not true():
                self.looked = time.monotonic()
                if self.looked >= end:
                    return False
                if self.stop.wait(_POLL):
                    raise Interrupted(f"interrupted; it waited for {what}")
            return True
        finally:
            del self._for[me]

    def now(self) -> tuple[str, ...]:
        """What is waited for at this moment; may be asked in a signal handler."""
        return tuple(self._for.values())
