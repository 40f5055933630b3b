"""Which keys want attention, and when. Pure: times are handed in (seconds on the monotonic clock).

Rule 1: a key is in the queue once; added again, the earlier of the two times counts.
Rule 2: a key that is being worked on is never given out a second time; what is added meanwhile comes after.
Rule 3: nothing is lost: a key leaves only through ``take`` or ``drop``.

Only the loop's thread touches it, so there is no lock.
"""

from __future__ import annotations

from cell_reconciler.model.key import Key


class WorkQueue:
    """Keys with the time from which each is due."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._busy: dict[Key, float | None] = {}  # key → due time of its next turn, None: none wanted

    def __len__(self) -> int:
        return len(self._due) + sum(due is not None for due in self._busy.values())

    @property
    def busy(self) -> frozenset[Key]:
        """Keys that were taken and are not done."""
        return frozenset(self._busy)

    def add(self, key: Key, due: float) -> None:
        """Wants ``key`` to be looked at from ``due`` on."""
        place: dict[Key, float] | dict[Key, float | None] = self._busy if key in self._busy else self._due
        now = place.get(key)
        place[key] = due if now is None else min(now, due)

    def take(self, now: float) -> list[Key]:
        """All keys that are due, the longest waiting first; they are busy until ``done``."""
        ready = sorted((due, key) for key, due in self._due.items() if due <= now)
        for _, key in ready:
            del self._due[key]
            self._busy[key] = None
        return [key for _, key in ready]

    def claim(self, key: Key) -> bool:
        """Makes a key busy that ``take`` did not give out. False when somebody is at work on it."""
        if key in self._busy:
            return False
        self._busy[key] = self._due.pop(key, None)
        return True

    def done(self, key: Key, not_before: float = 0.0) -> None:
        """The work on ``key`` is over; a turn wanted meanwhile is due at ``not_before`` at the earliest.

        Raises KeyError for a key that is not busy.
        """
        due = self._busy.pop(key)
        if due is not None:
            self.add(key, max(due, not_before))

    def drop(self, key: Key) -> None:
        """Nothing more is wanted of ``key``: neither specs nor host know it."""
        self._due.pop(key, None)
        if key in self._busy:
            self._busy[key] = None

    def next_due(self) -> float | None:
        """When ``take`` has something to give, None when nothing waits."""
        return min(self._due.values(), default=None)
