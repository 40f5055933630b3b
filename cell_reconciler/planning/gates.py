"""What a change may not do: each gate takes a change and returns it with steps taken away and the reason added."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cell_reconciler.kinds import link_kinds
from cell_reconciler.model.change import Change, Refusal, Risk, Step, Verb
from cell_reconciler.model.document import Document


def refuse(change: Change, refusal: Refusal, keep: Iterable[Step] = ()) -> Change:
    """The change without its steps (but ``keep``), and with one more reason. Upkeep is left undone without ado."""
    if change.upkeep:
        return msgspec.structs.replace(change, steps=(), notes=(*change.notes, refusal.message))
    return msgspec.structs.replace(change, steps=tuple(keep), refused=(*change.refused, refusal))


def settings_known(change: Change, known: bool) -> Change:
    """What may be done, and as what, is said by documents that cannot be used: the defaults are not what they say."""
    if known or not change.steps:
        return change
    return refuse(
        change,
        Refusal(
            reason="SettingsInvalid",
            message="the Host or Reconciler document is invalid and has no last good version",
            advice="cellctl validate says where",
            waiting=True,
        ),
    )


def suspended(change: Change, reason: str) -> Change:
    """Somebody asked to leave it alone; what differs is still shown."""
    if not change.steps:
        return change
    return refuse(
        change,
        Refusal(
            reason="Suspended",
            message=f"suspended: {reason}",
            advice=f"cellctl resume {change.key}",
            waiting=True,
        ),
    )


def fighting(change: Change, message: str) -> Change:
    """The loop repaired it several times in vain; it stops until somebody decides."""
    if not change.steps:
        return change
    return refuse(
        change,
        Refusal(
            reason="Fighting",
            message=message,
            advice=f"make the other writer leave it alone, then: cellctl resume {change.key}",
        ),
    )


def rolled_back(change: Change) -> Change:
    """It cut the management path and was undone; the same once more would do the same once more."""
    if not change.steps:
        return change
    return refuse(
        change,
        Refusal(
            reason="RolledBack",
            message="this change cut the management path and was rolled back",
            advice="mend the document or the path (cable, VLAN, switch), then change the document or apply again",
        ),
    )


def unconfirmed(change: Change, message: str) -> Change:
    """An operator has to confirm a change of the network; another one would blur what is confirmed or undone."""
    if not message or not change.steps or change.key.kind not in link_kinds():
        return change
    return refuse(
        change,
        Refusal(
            reason="ChangePending",
            message=message,
            advice="cellctl commit keeps it, cellctl rollback undoes it",
            waiting=True,
        ),
    )


def protected(change: Change, document: Document | None) -> Change:
    """``cell/protect``, or the kind's ``deletionProtection``: never deleted or replaced."""
    if document is None or not document.protected or not change.steps:
        return change
    if change.verb not in (Verb.DELETE, Verb.REPLACE) and not any(step.deletes for step in change.steps):
        return change
    return refuse(
        change,
        Refusal(
            reason="Protected",
            message=f"{change.key} is protected and the change would delete or replace it",
            advice="remove the annotation cell/protect, or deletionProtection, first",
        ),
    )


def permission(change: Change, allow: Risk) -> Change:
    """Steps above the permitted risk are not made, nor is the rest of a change that cannot be done in part.

    A restart is the exception: what can be done live is done, and only the restart waits for permission.
    """
    risky = [step for step in change.steps if step.risk > allow]
    if not risky:
        return change
    worst = max(risky, key=lambda step: step.risk)
    why = f" ({worst.why})" if worst.why else ""
    refusal = Refusal(
        reason="NeedsPermission",
        message=f"would {worst.text}{why}: risk {worst.risk.label}, allowed is {allow.label}",
        advice=f"apply with --allow {worst.risk.label}, or set `allow` in the Reconciler document",
    )
    keep = [s for s in change.steps if not s.restart] if all(s.restart for s in risky) else []
    return refuse(change, refusal, keep)
