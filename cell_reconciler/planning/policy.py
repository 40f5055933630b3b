"""What is permitted on this run: settings document, command line and suspensions, resolved once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from cell_reconciler.model.change import Risk
from cell_reconciler.model.document import IGNORE, SUSPEND, Document
from cell_reconciler.model.key import Key


class Suspension(msgspec.Struct, frozen=True, kw_only=True):
    """Hands off this resource. ``until`` None: until somebody resumes it."""

    reason: str
    until: datetime | None = None
    by: str = ""

    def active(self, now: datetime) -> bool:
        return self.until is None or now < self.until

    def __str__(self) -> str:
        return self.reason + (f" (until {self.until.isoformat(timespec='seconds')})" if self.until else "")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """``suspended`` holds only what is suspended now; ``fighting`` are keys that the loop gave up on.

    ``rolled_back`` are keys whose change cut the management path and was undone. ``unconfirmed`` says what an
    operator has to confirm now; no link is changed meanwhile.
    """

    allow: Risk = Risk.BLIP
    prune: bool = False
    suspended: Mapping[Key, str] = {}
    fighting: Mapping[Key, str] = {}
    rolled_back: frozenset[Key] = frozenset()
    unconfirmed: str = ""
    ignore: tuple[IgnoreFields, ...] = ()


class IgnoreFields(msgspec.Struct, frozen=True, kw_only=True):
    """One ignore rule of the settings document."""

    kind: str
    names: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    fields: tuple[str, ...] = ()

    def selects(self, document: Document) -> bool:
        return (
            document.key.kind == self.kind
            and (not self.names or document.key.name in self.names)
            and all(document.labels.get(k) == v for k, v in self.labels.items())
        )


def with_ignore_rules(document: Document, rules: tuple[IgnoreFields, ...]) -> Document:
    """The document with the settings' ignore rules added to its own annotation: one rule in all places."""
    fields = [f for rule in rules if rule.selects(document) for f in rule.fields]
    if not fields:
        return document
    text = "\n".join([*document.ignored, *fields])
    return msgspec.structs.replace(document, annotations={**document.annotations, IGNORE: text})


def suspension_of(document: Document) -> Suspension | None:
    """The annotation ``cell/suspend: REASON [until=TIME]``. A time that cannot be read suspends for ever."""
    text = document.annotations.get(SUSPEND)
    if not text:
        return None
    reason, mark, until = text.partition("until=")
    if not mark:
        return Suspension(reason=text)
    try:
        return Suspension(reason=reason.strip() or "suspended", until=datetime.fromisoformat(until.strip()))
    except ValueError:
        return Suspension(reason=f"{text} (the time cannot be read)")
