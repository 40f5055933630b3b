"""The thread that keeps the host awake while VMs run on it.

The loop says after each look whether any VM runs; this thread takes logind's lock or lets it go, since asking logind
may take as long as D-Bus takes. A lock that was lost (logind was restarted) is taken again.
"""

from __future__ import annotations

import threading

from cell_reconciler.daemon.hints import Sleep, Tell
from cell_reconciler.drivers.inhibitor import Inhibitor

AGAIN = 5.0  # s between two looks at the lock


class SleepGuard:
    """``want`` may be called from any thread."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = Inhibitor()
        self._wanted = False
        self._leaving = False
        self._changed = threading.Condition()
        self._said: Sleep | None = None

    def want(self, on: bool) -> None:
        """Is the lock to be held?"""
        with self._changed:
            self._wanted = on
            self._changed.notify()

    def stop(self) -> None:
        """Ends ``run``."""
        with self._changed:
            self._leaving = True
            self._changed.notify()

    def run(self) -> None:
        """The body of the thread."""
        try:
            while not self._leaving:
                wanted = self._wanted
                self._make(wanted)
                with self._changed:
                    if not self._leaving and wanted == self._wanted:
                        self._changed.wait(AGAIN if wanted else None)
        finally:
            self._lock.release()

    def _make(self, wanted: bool) -> None:
        if wanted:
            trouble = self._lock.hold()
            self._say(Sleep(inhibited=not trouble, reason=trouble))
        elif self._lock.held or self._said is not None:
            self._lock.release()
            self._say(Sleep(inhibited=False))

    def _say(self, now: Sleep) -> None:
        """Once, not every time."""
        if now != self._said and (self._said is not None or now != Sleep(inhibited=False)):
            self._said = now
            self._tell(now)
