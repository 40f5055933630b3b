"""How far work on a volume has come: told to people now and then, and to the deadline each time."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two lines

Tell = Callable[[str], None]


def unheard(text: str) -> None:
    """For those who do not listen."""


class Meter:
    """One piece of work, named as ``what``."""

    def __init__(self, what: str, tell: Tell = unheard) -> None:
        self._what = what
        self._tell = tell
        self._alive = self._told = time.monotonic()

    def alive(self) -> float:
        """When it last came further, by ``time.monotonic``."""
        return self._alive

    def at(self, done: int, total: int | None, unit: str = "MiB") -> None:
        """It has come to ``done`` bytes (or RBD objects, with that ``unit``) of ``total`` (None: nobody knows)."""
        self._alive = time.monotonic()
        if self._alive - self._told < EVERY:
            return
        self._told = self._alive
        scale = 2**20 if unit == "MiB" else 1
        whole = f" of {total // scale} {unit} ({100 * done // total} %)" if total else f" {unit}"
        self._tell(f"{self._what}: {done // scale}{whole}")

    def objects(self, done: int, total: int) -> int:
        """As librbd calls back with the numbers of objects; 0 lets it go on."""
        self.at(done, total, "objects")
        return 0
