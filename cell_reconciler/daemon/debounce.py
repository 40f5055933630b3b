"""Many hints, one answer: wait until it is quiet, but not for ever. Pure: times are handed in (monotonic seconds)."""

from __future__ import annotations


class Debounce:
    """Due ``quiet`` seconds after the last hit, and at the latest ``longest`` seconds after the first."""

    def __init__(self, quiet: float = 0.05, longest: float = 0.5) -> None:
        self.quiet = quiet
        self.longest = longest
        self._first: float | None = None
        self._last = 0.0

    def hit(self, now: float) -> None:
        if self._first is None:
            self._first = now
        self._last = now

    @property
    def due(self) -> float | None:
        """When to act; None when nothing waits."""
        if self._first is None:
            return None
        return min(self._last + self.quiet, self._first + self.longest)

    def take(self, now: float) -> bool:
        """True once when it is time."""
        if self.due is None or now < self.due:
            return False
        self._first = None
        return True
