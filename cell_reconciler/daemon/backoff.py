"""When to try again after a failure: twice as long each time, at most five minutes.

The common default of controllers (5 ms doubling to 16 min) is the one that people complain about most: it is hot at
first and asleep in the end. Pure: time and jitter are handed in.
"""

from __future__ import annotations

from collections.abc import Callable

from cell_reconciler.model.key import Key

FIRST = 1.0  # seconds
CAP = 300.0  # seconds, jitter included
SOON = 15.0  # seconds, of what touched nothing and only waits for room on a disk


class Backoff:
    """Failures in a row, by key. ``jitter`` gives a number in [0, 1), such as ``random.random``."""

    def __init__(self, jitter: Callable[[], float], first: float = FIRST, cap: float = CAP) -> None:
        self._jitter = jitter
        self._first = first
        self._cap = cap
        self._failures: dict[Key, int] = {}
        self._until: dict[Key, float] = {}

    def failed(self, key: Key, now: float, *, hopeless: bool = False, soon: bool = False) -> float:
        """Counts a failure and returns from when the key may be tried again.

        ``hopeless``: trying again without a change cannot help, so it is tried as rarely as possible.
        ``soon``: it touched nothing and is to be made as soon as it can be, so it does not wait longer and longer.
        """
        count = self._failures[key] = self._failures.get(key, 0) + 1
        whole = self._cap if hopeless else min(self._cap, self._first * 2.0 ** min(count - 1, 32))
        whole = min(whole, SOON) if soon else whole
        self._until[key] = now + whole * (0.8 + 0.2 * self._jitter())
        return self._until[key]

    def reset(self, key: Key) -> None:
        """It worked, or its spec changed: whatever failed before says nothing any more."""
        self._failures.pop(key, None)
        self._until.pop(key, None)

    def not_before(self, key: Key) -> float:
        """From when the key may be tried; 0.0 when it did not fail."""
        return self._until.get(key, 0.0)

    def failures(self, key: Key) -> int:
        """Failures in a row."""
        return self._failures.get(key, 0)
