"""Two writers, one object: stop before it becomes a war.

A key that was repaired three times in ten minutes because somebody else had changed it is left alone, until its spec
changes, ``cellctl resume`` is said, or an hour has passed. Pure: times are handed in (monotonic seconds).
"""

from __future__ import annotations

import msgspec

from cell_reconciler.model.key import Key

REPAIRS = 3
WINDOW = 600.0  # seconds in which the repairs count
REST = 3600.0  # seconds after which it is tried again
REASON = f"repaired {REPAIRS} times in {WINDOW / 60:.0f} minutes, and another writer changes it again"


class Bout(msgspec.Struct):
    """What is remembered of one key."""

    digest: str  # of the document that was enforced
    repairs: list[float] = []
    stopped: float | None = None


class Fighting:
    """Counts repairs of drift by key, and says which keys are left alone."""

    def __init__(self) -> None:
        self._bouts: dict[Key, Bout] = {}

    def repaired(self, key: Key, digest: str, now: float) -> bool:
        """Counts a repair of drift. True when it was one too many and the key is left alone from now on."""
        bout = self._bouts.get(key)
        if bout is None or bout.digest != digest:
            bout = self._bouts[key] = Bout(digest)
        bout.repairs = [at for at in bout.repairs if now - at < WINDOW] + [now]
        if bout.stopped is None and len(bout.repairs) >= REPAIRS:
            bout.stopped = now
            return True
        return False

    def stopped(self, key: Key, digest: str, now: float) -> bool:
        """Is the key left alone? Asking with another digest (its spec changed), or after an hour, ends it."""
        bout = self._bouts.get(key)
        if bout is None or bout.stopped is None:
            return False
        if bout.digest != digest or now - bout.stopped >= REST:
            del self._bouts[key]
            return False
        return True

    def resume(self, key: Key) -> None:
        """Start afresh: an operator says that the quarrel is settled."""
        self._bouts.pop(key, None)

    @property
    def keys(self) -> frozenset[Key]:
        """Keys that are left alone (as of the last question about them)."""
        return frozenset(key for key, bout in self._bouts.items() if bout.stopped is not None)
