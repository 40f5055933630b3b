"""The thread that hears nftables: who flushes the rules of an internal bridge is answered in a second, not a resync."""

from __future__ import annotations

import os
import select

from cell_reconciler.daemon.hints import Filter, Tell
from cell_reconciler.drivers.nftables_events import FilterEvents


class FilterTrigger:
    """Subscribes when it is made; where that is not possible (no nf_tables, no privilege) it hears nothing."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        try:
            self._events: FilterEvents | None = FilterEvents()
        except OSError:
            self._events = None
        self._stop_r, self._stop_w = os.pipe2(os.O_CLOEXEC)

    def stop(self) -> None:
        """Ends ``run``."""
        os.write(self._stop_w, b"!")

    def run(self) -> None:
        """The body of the thread."""
        events = self._events
        while self._stop_r not in select.select([self._stop_r, *([events] if events else [])], [], [])[0]:
            for bridge in sorted(events.read() if events else ()):
                self._tell(Filter(bridge))
        if events:
            events.close()
