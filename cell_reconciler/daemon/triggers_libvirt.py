"""The threads that hear libvirt: domain events become ``Domain`` hints, a lost connection ``Lost``, a new one ``Back``;
and guests are asked whether they answer.

A connection that broke never recovers: the door makes another subscription, and everything is read anew. libvirtd is
never restarted from here.
"""

from __future__ import annotations

import threading
import time

from cell_reconciler.daemon.hints import Back, Befell, Domain, Lost, Tell
from cell_reconciler.drivers.libvirt.door import LibvirtDoor
from cell_reconciler.drivers.libvirt.events import Trouble
from cell_reconciler.drivers.libvirt.pulse import Pulse
from cell_reconciler.errors import CellError, Unreachable
from cell_reconciler.model.live import Source

RETRY_FIRST, RETRY_CAP = 0.5, 5.0  # seconds between attempts to connect again
SAME = 60.0  # seconds in which the same trouble of a guest is told once: a broken disk may fail a thousand times in one
PULSE = 10.0  # seconds between two rounds of questions to all guests
_REASONS = {Trouble.IO_ERROR: "IoError", Trouble.WATCHDOG: "WatchdogFired"}


class LibvirtTrigger:
    """Keeps one subscription alive."""

    def __init__(self, door: LibvirtDoor, tell: Tell) -> None:
        self._door = door
        self._tell = tell
        self._stopping = threading.Event()
        self._broken = threading.Event()
        self._told: dict[tuple[str, str], float] = {}  # guest and text → when it was told

    def stop(self) -> None:
        """Ends ``run``."""
        self._stopping.set()
        self._broken.set()

    def run(self) -> None:
        """The body of the thread."""
        delay, reason, before = RETRY_FIRST, "", ""
        while not self._stopping.is_set():
            self._broken.clear()
            try:
                self._door.events(lambda name: self._tell(Domain(name)), self._broken.set, self._trouble)
            except CellError as error:
                reason = error.message
            else:
                delay, before = RETRY_FIRST, ""
                self._tell(Back(Source.LIBVIRT))
                self._broken.wait()
                reason = "the connection was closed"
            if self._stopping.is_set():
                return
            if reason != before:  # the same reason once, not at every attempt
                self._tell(Lost(Source.LIBVIRT, reason))
                before = reason
            self._stopping.wait(delay)
            delay = min(RETRY_CAP, delay * 1.5)

    def _trouble(self, name: str, trouble: Trouble, text: str) -> None:
        now = time.monotonic()
        if now - self._told.get((name, text), -SAME) < SAME:
            return
        self._told = {key: when for key, when in self._told.items() if now - when < SAME}
        self._told[name, text] = now
        self._tell(Befell(name, _REASONS[trouble], text))


class PulseTrigger:
    """Asks all guests every few seconds; whose answer is another one than before is looked at.

    And asks libvirt itself, after the loop got no answer from it: its connections may live while it hangs.
    """

    def __init__(self, pulse: Pulse, tell: Tell) -> None:
        self._pulse = pulse
        self._tell = tell
        self._stopping = threading.Event()
        self._suspected = threading.Event()
        self._wake = threading.Event()
        pulse.changed = lambda name: tell(Domain(name))

    def suspect(self) -> None:
        """Libvirt did not answer: ask it until it does, and tell."""
        self._suspected.set()
        self._wake.set()

    def stop(self) -> None:
        """Ends ``run`` when the question that is under way is answered."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """The body of the thread."""
        while not self._stopping.is_set():
            try:
                if self._suspected.is_set():
                    self._pulse.reach()
                    self._suspected.clear()
                    self._tell(Back(Source.LIBVIRT))
                self._pulse.round(self._wake.is_set)
            except Unreachable:  # the loop knows, or will know as soon as it looks
                pass
            if self._suspected.is_set():
                self._stopping.wait(RETRY_FIRST)
            else:
                self._wake.wait(PULSE)
            self._wake.clear()
