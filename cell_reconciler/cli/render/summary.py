"""A plan in numbers. The same numbers are printed, put into JSON, and turned into the exit code."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cell_reconciler.cli import exits
from cell_reconciler.model.change import Cause, Change, Plan, Refusal, Verb
from cell_reconciler.model.diagnostic import Diagnostic, Severity

NEEDS_PERMISSION = "NeedsPermission"


class Summary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Resources by what happens to them. One resource counts once among the first nine."""

    create: int = 0
    update: int = 0
    replace: int = 0
    delete: int = 0
    adopt: int = 0
    refused: int = 0
    waiting: int = 0  # resolves itself: suspended, pending restart
    unknown: int = 0  # a source did not answer
    in_sync: int = 0
    restart: int = 0  # VMs that steps of this plan restart
    drift: int = 0  # of the changes: made by somebody else
    foreign: int = 0  # not ours: left alone


def summarize(plan: Plan) -> Summary:
    """Count the plan."""
    counts = dict.fromkeys(Summary.__struct_fields__, 0)
    for change in plan.changes:
        counts[category(change)] += 1
        counts["restart"] += any(step.restart for step in change.steps)
        counts["drift"] += is_drift(change)
    counts["unknown"] += sum(1 for key in plan.unknown if key not in {c.key for c in plan.changes})
    counts["foreign"] = len(plan.foreign)
    return Summary(**counts)


def category(change: Change) -> str:
    """The field of ``Summary`` that a change counts for."""
    if objections(change) and not change.steps:
        return "refused"
    if change.verb != Verb.NONE and not waits(change):
        return change.verb.value
    if change.steps and not change.upkeep:
        return "update"
    return "waiting" if waits(change) or change.pending else "in_sync"


def objections(change: Change) -> tuple[Refusal, ...]:
    """Refusals that somebody has to deal with."""
    return tuple(refusal for refusal in change.refused if not refusal.waiting)


def waits(change: Change) -> bool:
    """Nothing is done now, and nobody objects: it resolves itself."""
    return not change.steps and bool(change.refused) and not objections(change)


def is_drift(change: Change) -> bool:
    """Somebody else changed the object."""
    return change.cause == Cause.DRIFT and not settled(change)


def settled(change: Change) -> bool:
    """Nothing that a reader has to know beyond 'in sync' (fields under ``cell/ignore`` and notes may remain)."""
    return category(change) == "in_sync"


def verdict(
    plan: Plan, diagnostics: Sequence[Diagnostic] = (), *, differences: bool = False, applying: bool = False
) -> int:
    """The exit code that a plan stands for.

    A change that only lacks permission is a difference to ``diff``, whose reader decides about it, and a refusal to
    ``apply`` (``applying``), which was asked to make it. ``differences`` is ``--exit-code``.
    """
    codes = []
    if plan.unknown:
        codes.append(exits.UNREACHABLE)
    if any(d.severity == Severity.ERROR for d in diagnostics):
        codes.append(exits.INVALID)
    reasons = {refusal.reason for change in plan.changes for refusal in objections(change)}
    if reasons - (set() if applying else {NEEDS_PERMISSION}):
        codes.append(exits.REFUSED)
    if differences and not plan.empty:
        codes.append(exits.DIFFERENCES)
    return exits.worst(codes)


def sentence(summary: Summary) -> str:
    """``Plan: 1 create, 3 update (1 restart), 0 delete. Drift: 1. 37 in sync.``"""
    parts = [f"{summary.create} create", f"{summary.update} update", f"{summary.delete} delete"]
    if summary.restart:
        parts[1] += f" ({summary.restart} restart)"
    for name in ("replace", "adopt", "refused", "waiting", "unknown", "foreign"):
        if getattr(summary, name):
            parts.append(f"{getattr(summary, name)} {name}")
    drift = f" Drift: {summary.drift}." if summary.drift else ""
    return f"Plan: {', '.join(parts)}.{drift} {summary.in_sync} in sync."
