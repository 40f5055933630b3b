"""The records that the store keeps."""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.key import Key


class ResourceStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One resource. ``time`` (RFC 3339) is when this was last seen to be true; ``fields`` are the differences."""

    key: Key
    conditions: tuple[Condition, ...] = ()
    position: str = ""  # file:line of the document, or "derived from …"
    digest: str = ""  # of the document
    time: str = ""
    next_retry: str = ""
    pending: tuple[str, ...] = ()  # fields that take effect at the next start
    fields: tuple[dict[str, Any], ...] = ()
    derived_from: tuple[Key, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def ready(self) -> Truth:
        ready = self.condition("Ready")
        return ready.status if ready else Truth.UNKNOWN


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that happened. ``type`` is Normal or Warning, as Kubernetes has it."""

    time: str
    type: str
    reason: str
    message: str
    key: Key | None = None
    reconcile_id: str = ""
    count: int = 1


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One pass that changed something (or failed to)."""

    time: str
    reconcile_id: str
    by: str  # apply or run
    specs_digest: str
    steps: tuple[dict[str, Any], ...] = ()  # key, op, text, result, seconds, error
    writes: dict[str, int] = {}  # writing calls since the entry before, by name


class SuspensionRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``cellctl suspend``: hands off this resource."""

    key: Key
    reason: str
    since: str
    until: str = ""
    by: str = ""
