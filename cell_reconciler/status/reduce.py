"""Plan and outcomes → conditions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from cell_reconciler.model.change import Change, Outcome, Plan, Result, Verb
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Loaded, document_digest
from cell_reconciler.model.key import Key
from cell_reconciler.status.records import ResourceStatus


def reduce(
    before: Mapping[Key, ResourceStatus],
    loaded: Loaded,
    plan: Plan,
    outcomes: Sequence[Outcome],
    health: Mapping[Key, Iterable[Condition]],
    now: str,
    *,
    executed: bool,
) -> dict[Key, ResourceStatus]:
    """The new status of every key that the plan speaks about.

    ``executed`` False: the plan was only looked at (mode observe, ``get --live``). ``health`` are the conditions that
    the kinds report beside Ready. ``now`` is RFC 3339 text.
    """
    changes = {c.key: c for c in plan.changes}
    failed = [o for o in outcomes if o.result in (Result.FAILED, Result.BLOCKED)]
    # What failed first is the reason: the steps after it only wait for that.
    failures: dict[Key, Outcome] = {}
    for outcome in sorted(failed, key=lambda o: o.result == Result.BLOCKED):
        if not plan.steps[outcome.step].upkeep:
            failures.setdefault(outcome.key, outcome)
    neglected = {o.key: o for o in failed if plan.steps[o.step].upkeep and o.result == Result.FAILED}
    result: dict[Key, ResourceStatus] = {}
    for key, document in loaded.documents.items():
        if key not in changes and key not in plan.unknown:
            continue
        change = changes.get(key)
        conditions = [_ready(key, change, plan, failures.get(key), executed=executed)]
        conditions += _beside(key, change, loaded)
        conditions += list(health.get(key, ()))
        old = before.get(key)
        conditions += _neglect(change, plan, neglected.get(key), old, executed=executed)
        result[key] = ResourceStatus(
            key=key,
            conditions=tuple(_since(c, old, now) for c in conditions),
            position=_position(document.position.file, document.position.line, document.derived_from),
            digest=document_digest(document),
            time=now,
            pending=tuple(f.path for f in change.pending) if change else (),
            fields=tuple(_field(f) for f in change.fields) if change and not _settled(change, executed) else (),
            derived_from=document.derived_from,
        )
    return result


def _ready(key: Key, change: Change | None, plan: Plan, failure: Outcome | None, *, executed: bool) -> Condition:
    if change is None:
        return Condition(
            type="Ready", status=Truth.UNKNOWN, reason="SourceUnreachable", message=plan.unknown.get(key, "")
        )
    if failure is not None:
        reason = "StepFailed" if failure.result == Result.FAILED else "DependencyFailed"
        return Condition(type="Ready", status=Truth.FALSE, reason=reason, message=failure.error)
    if change.refused:
        first = change.refused[0]
        return Condition(type="Ready", status=Truth.FALSE, reason=first.reason, message=first.message)
    if change.steps and not executed and not change.upkeep:
        return Condition(
            type="Ready",
            status=Truth.FALSE,
            reason="OutOfSync",
            message="; ".join(s.text for s in change.steps),
        )
    note = change.notes[0] if change.notes else ""
    return Condition(type="Ready", status=Truth.TRUE, reason="InSync", message=note)


def _neglect(
    change: Change | None, plan: Plan, failure: Outcome | None, old: ResourceStatus | None, *, executed: bool
) -> Iterable[Condition]:
    """Upkeep that failed; it stays so until it is done."""
    if failure is not None:
        kind = plan.steps[failure.step].upkeep
        yield Condition(type=kind, status=Truth.TRUE, reason="StepFailed", message=failure.error)
    elif change is not None and old is not None and not executed:
        kinds = dict.fromkeys(step.upkeep for step in change.steps if step.upkeep)
        yield from (kept for kind in kinds if (kept := old.condition(kind)) is not None)


def _beside(key: Key, change: Change | None, loaded: Loaded) -> Iterable[Condition]:
    if key in loaded.stale:
        yield Condition(
            type="SpecInvalid",
            status=Truth.TRUE,
            reason="LastGoodInForce",
            message="its file is invalid now; the last good version stays in force",
        )
    if change is None:
        return
    for refusal in change.refused:
        if refusal.reason in ("Suspended", "Fighting"):
            yield Condition(type=refusal.reason, status=Truth.TRUE, reason=refusal.reason, message=refusal.message)


def _settled(change: Change, executed: bool) -> bool:
    return change.verb == Verb.NONE or (executed and not change.refused and not change.pending)


def _field(field: msgspec.Struct) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(field)
    if plain.pop("secret"):
        plain.update(have="(sensitive)", want="(sensitive)")
    return plain


def _position(file: str, line: int, derived_from: tuple[Key, ...]) -> str:
    if derived_from:
        return "derived from " + ", ".join(str(k) for k in derived_from)
    return f"{file}:{line}"


def _since(condition: Condition, old: ResourceStatus | None, now: str) -> Condition:
    """``since`` moves only when the status flips."""
    previous = old.condition(condition.type) if old else None
    since = previous.since if previous and previous.status == condition.status else now
    return msgspec.structs.replace(condition, since=since)
