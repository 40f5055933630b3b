"""The thread that hears libvirt: domain events become ``Domain`` hints, a lost connection ``Lost``, a new one ``Back``.

A connection that broke never recovers: the door makes another subscription, and everything is read anew. libvirtd is
never restarted from here.
"""

from __future__ import annotations

import threading

from cell_reconciler.daemon.hints import Back, Domain, Lost, Tell
from cell_reconciler.drivers.libvirt.door import LibvirtDoor
from cell_reconciler.errors import CellError
from cell_reconciler.model.live import Source

RETRY_FIRST, RETRY_CAP = 0.5, 5.0  # seconds between attempts to connect again


class LibvirtTrigger:
    """Keeps one subscription alive."""

    def __init__(self, door: LibvirtDoor, tell: Tell) -> None:
        self._door = door
        self._tell = tell
        self._stopping = threading.Event()
        self._broken = threading.Event()

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
                self._door.events(lambda name: self._tell(Domain(name)), self._broken.set)
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
