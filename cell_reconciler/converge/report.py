"""What one pass is reported as: events for what was done and what flipped, and its entry in the history."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from cell_reconciler.model.change import Outcome, Plan, Result
from cell_reconciler.model.condition import Truth
from cell_reconciler.model.key import Key
from cell_reconciler.status.records import Event, HistoryEntry, ResourceStatus


def noteworthy(plan: Plan, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Without the upkeep that was done: a thousand snapshots an hour would hide what changed. The log has them."""
    return [o for o in outcomes if o.result == Result.FAILED or not plan.steps[o.step].upkeep]


def events(
    before: Mapping[Key, ResourceStatus],
    after: Mapping[Key, ResourceStatus],
    outcomes: Sequence[Outcome],
    plan: Plan,
    now: str,
    reconcile_id: str,
) -> Iterable[Event]:
    for outcome in outcomes:
        if outcome.result in (Result.DONE, Result.FAILED):
            failed = outcome.result == Result.FAILED
            yield Event(
                time=now,
                type="Warning" if failed else "Normal",
                reason="StepFailed" if failed else "StepDone",
                message=plan.steps[outcome.step].text + (f": {outcome.error}" if failed else ""),
                key=outcome.key,
                reconcile_id=reconcile_id,
            )
    for key, status in after.items():
        old = {c.type: c for c in before[key].conditions} if key in before else {}
        for condition in status.conditions:
            previous = old.get(condition.type)
            if previous is None or (previous.status, previous.reason) != (condition.status, condition.reason):
                bad = condition.type == "Ready" and condition.status != Truth.TRUE
                yield Event(
                    time=now,
                    type="Warning" if bad else "Normal",
                    reason=condition.reason,
                    message=f"{condition.type}={condition.status.value} {condition.message}".strip(),
                    key=key,
                    reconcile_id=reconcile_id,
                )


def history(
    plan: Plan,
    outcomes: Sequence[Outcome],
    now: str,
    by: str,
    reconcile_id: str,
    specs_digest: str,
    writes: dict[str, int],
) -> HistoryEntry:
    return HistoryEntry(
        time=now,
        reconcile_id=reconcile_id,
        by=f"{by} (pid {os.getpid()})",
        specs_digest=specs_digest,
        steps=tuple(
            {
                "key": str(o.key),
                "op": o.op,
                "text": plan.steps[o.step].text,
                "result": o.result.value,
                "seconds": o.seconds,
                "error": o.error,
            }
            for o in outcomes
        ),
        writes=writes,
    )
