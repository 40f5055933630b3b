"""Two writers, one object: stop before it becomes a war.

A key that was repaired three times in ten minutes because somebody else had changed it is left alone, until its spec
changes, ``cellctl resume`` is said, or an hour has passed. Pure: times are handed in (monotonic seconds).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.links.managers import said
from cell_reconciler.model.change import Change
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Route, Source
from cell_reconciler.model.mark import RTPROT
from cell_reconciler.model.protocols import protocol_name

REPAIRS = 3
WINDOW = 600.0  # seconds in which the repairs count
REST = 3600.0  # seconds after which it is tried again
_MOST_LINKS = 1000
_NOBODY: Mapping[str, str] = {}


def reason(change: Change, live: Live, writers: Mapping[str, str] = _NOBODY) -> str:
    """Why a key is left alone, and who the other one is, as far as ``live`` and the events tell."""
    other = other_writer(change, live, writers) or "another writer"
    return f"repaired {REPAIRS} times in {WINDOW / 60:.0f} minutes, and {other} changes it again"


def other_writer(change: Change, live: Live, writers: Mapping[str, str] = _NOBODY) -> str | None:
    """Who else writes to what this change repairs: the manager of a link, who set a route in place of ours, or the
    process that changed the link last (``writers``, by link).

    Nothing is known of what is not of the network.
    """
    if Source.NETLINK not in kind(change.key.kind).sources:
        return None
    touched = {change.key.name, *(getattr(step.action, "name", "") for step in change.steps)}
    for link in sorted(touched & live.managers.keys()):
        return f"{said(live.managers[link])}, which manages {link},"
    routes = [getattr(step.action, "route", None) for step in change.steps]
    ours = {(route.to, route.table) for route in routes if isinstance(route, Route)}
    for route in live.routes:
        if route.protocol != RTPROT and (route.to, route.table) in ours:
            return f"whoever sets the route to {route.to} with protocol {protocol_name(route.protocol)}"
    for link in sorted(touched & writers.keys()):
        return f"the process {writers[link]}, which changed {link} last,"
    return None


class Writers:
    """Which process changed a link last, by the events of the kernel: it tells that of addresses, routes and new links,
    and mostly not of who sets something on a link."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}

    def heard(self, link: str, writer: str, now: float) -> None:
        self._last.pop(link, None)
        self._last[link] = (writer, now)
        if len(self._last) > _MOST_LINKS:  # taps come and go
            del self._last[next(iter(self._last))]

    def recent(self, now: float) -> dict[str, str]:
        """Link → process, of the time in which repairs count."""
        return {link: writer for link, (writer, at) in self._last.items() if now - at < WINDOW}


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
