"""Domains that are being started: what they will take counts before libvirt shows it.

Several steps start VMs at the same time. Each looks at what runs and decides whether there is room; without this, two
of them would find the same room.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cell_reconciler.model.node import Load


class Coming:
    """Loads of the domains under way, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loads: dict[str, Load] = {}

    @contextmanager
    def entered(
        self,
        name: str,
        load: Load,
        running: Callable[[], Mapping[str, Load]],
        check: Callable[[Mapping[str, Load]], None],
    ) -> Iterator[None]:
        """Within it, ``name`` is on its way with ``load``. ``check`` is given what all others take and may raise."""
        with self._lock:
            others = {**running(), **self._loads}
            others.pop(name, None)
            check(others)
            self._loads[name] = load
        try:
            yield
        finally:
            with self._lock:
                self._loads.pop(name, None)
