"""What differs, what will be done about it, and what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Protocol, runtime_checkable

import msgspec

from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.fields import Effect
from cell_reconciler.model.key import Key


class Risk(IntEnum):
    """What a step may do to others; more than ``BLIP`` needs permission (``--allow``, settings)."""

    NONE = 0
    BLIP = 1  # traffic of some milliseconds
    DISRUPTIVE = 2  # traffic or a service for longer
    CUTS_MANAGEMENT = 3  # the path by which the host is managed
    CUTS_VM = 4  # a running VM is stopped or loses disk or network

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> Risk:
        """Raises ValueError for a word that is not a risk."""
        for risk in cls:
            if risk.label == text:
                return risk
        raise ValueError(f"{text!r} is not a risk; one of {', '.join(r.label for r in cls)}")


class Verb(StrEnum):
    NONE = "none"  # in sync
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"


class Cause(StrEnum):
    SPEC = "spec"  # a document changed
    DRIFT = "drift"  # somebody else changed the object
    CRASH = "crash"  # it went down by itself, and is started again
    PRUNE = "prune"  # no document declares it any more


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One owned field that differs. ``path`` is ``spec.disks[root].cache``; None is 'not there'."""

    path: str
    have: Any  # canonical plain value, None when absent
    want: Any
    effect: Effect
    pending: bool = False  # defined, but takes effect at the next start only
    ignored: bool = False  # named by cell/ignore: shown, never acted upon
    secret: bool = False


@runtime_checkable
class Action(Protocol):
    """What a step does: a frozen struct (its fields are its arguments) with three methods.

    ``done`` reads; it is asked before (already true: skipped) and after (read back). ``do`` writes, and may be
    repeated after a crash at any point. ``doors`` is ``drivers.Doors``; kinds import no driver library.
    """

    def done(self, doors: Any) -> bool: ...

    def do(self, doors: Any) -> None: ...


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One small thing to do. Steps of one key run in their order; ``needs``/``gives`` order them across keys.

    Tokens are plain text. The planner itself adds ``ready:KEY`` (given by the last step of a key that stays) and
    ``gone:KEY`` (given by the last step of a key that goes); a kind may add its own, such as ``free:ens1f0``.
    A needed token that nobody gives is already true. ``after`` is for the order only: who gives these tokens comes to
    an end first, whatever comes of it.
    """

    key: Key
    op: str  # "bridge.create", as the journal and JSON show it
    text: str  # "create bridge br-VM on bond-VM": one line for people
    action: Action
    risk: Risk = Risk.NONE
    why: str = ""  # what the risk is for: "carries VirtualMachine/web-01"
    restart: bool = False  # restarts a VM
    deletes: bool = False
    # Upkeep beside what the document says (a snapshot that is due): it is no difference and nobody waits for it; when
    # it fails, this is the condition instead of Ready.
    upkeep: str = ""
    needs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a change would need and that is not done: the reason is a CamelCase word for conditions."""

    reason: str  # Foreign, Protected, Shrink, NeedsPermission, ForeignDependents, Suspended, PruneLimit, Fighting …
    message: str
    advice: str = ""
    waiting: bool = False  # not an objection of anybody: it resolves itself (suspended, pending restart)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What differs in one resource, and the steps that settle it (empty when refused)."""

    key: Key
    verb: Verb
    cause: Cause = Cause.SPEC
    fields: tuple[FieldChange, ...] = ()
    steps: tuple[Step, ...] = ()
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()  # said beside the change; needs nobody
    position: Position | None = None
    derived_from: tuple[Key, ...] = ()
    again: datetime | None = None  # when something falls due: it has to be looked at again then

    @property
    def risk(self) -> Risk:
        return max((step.risk for step in self.steps), default=Risk.NONE)

    @property
    def pending(self) -> tuple[FieldChange, ...]:
        return tuple(f for f in self.fields if f.pending)

    @property
    def upkeep(self) -> bool:
        """Only upkeep is to be done: the object is as declared."""
        ignored = all(field.ignored for field in self.fields)
        return bool(self.steps) and all(s.upkeep for s in self.steps) and not self.refused and ignored

    @property
    def quiet(self) -> bool:
        """Nothing to do, nothing refused: in sync (pending fields are not quiet: they are differences)."""
        return self.verb == Verb.NONE and not self.steps and not self.refused and not self.fields


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All changes of one host and the order of their steps.

    ``edges[i]`` lists the steps (by index in ``steps``) that step ``i`` needs, ``soft[i]`` those that come before it
    though it does not need them (empty: none anywhere). ``unknown`` are keys about which nothing can be said because a
    source did not answer.
    """

    host: str
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    edges: tuple[tuple[int, ...], ...]
    soft: tuple[tuple[int, ...], ...] = ()
    unknown: dict[Key, str] = {}
    foreign: tuple[Key, ...] = ()
    specs_digest: str = ""
    live_digest: str = ""

    def before(self, index: int) -> tuple[int, ...]:
        """All steps that come to an end before this one begins."""
        return self.edges[index] + (self.soft[index] if self.soft else ())

    @property
    def empty(self) -> bool:
        """True when nothing differs and everything is known; upkeep may be due."""
        return not self.unknown and all(c.quiet or c.upkeep or _only_ignored(c) for c in self.changes)


def _only_ignored(change: Change) -> bool:
    fields = change.fields  # none: the whole document comes or goes (`diff --base`), which is a difference
    return not change.steps and not change.refused and bool(fields) and all(f.ignored for f in fields)


class Result(StrEnum):
    DONE = "done"
    SKIPPED = "skipped"  # already true
    FAILED = "failed"
    BLOCKED = "blocked"  # a step that it needs failed


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one step."""

    step: int
    key: Key
    op: str
    result: Result
    seconds: float = 0.0
    error: str = ""
    advice: str = ""
    retryable: bool = True
