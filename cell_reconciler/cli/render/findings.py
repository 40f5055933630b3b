"""What is worth a remark in CI, as one list: ``github``, ``sarif`` and ``junit`` show it in their dialects."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from cell_reconciler.cli.render import summary, values
from cell_reconciler.cli.render.style import escape
from cell_reconciler.model.change import Change, FieldChange, Plan, Refusal, Risk, Verb
from cell_reconciler.model.diagnostic import Diagnostic, Position, Severity
from cell_reconciler.model.key import Key


class Level(StrEnum):
    """SARIF's words; the order is that of importance."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One remark. ``rule`` is stable; ``place`` (a key or a JSON pointer) names it independently of lines."""

    rule: str
    level: Level
    message: str
    position: Position | None = None
    place: str = ""
    advice: str = ""

    @property
    def text(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message

    def fingerprint(self, base: str) -> str:
        """The same for the same finding after lines moved: 32 hex digits."""
        file = relative(self.position.file, base) if self.position else ""
        return hashlib.sha256(
            "\0".join((self.rule, file, self.place, self.message)).encode("utf-8", "replace")
        ).hexdigest()[:32]


def relative(path: str, base: str) -> str:
    """A path as CI services want it: relative to the checkout, with slashes."""
    if os.path.isabs(path):
        below = os.path.relpath(path, base)
        path = path if below.startswith("..") else below
    return path.replace(os.sep, "/").removeprefix("./")


def of_diagnostics(diagnostics: Sequence[Diagnostic]) -> list[Finding]:
    """One for each, in their order."""
    return [
        Finding(
            rule=d.rule,
            level=Level.ERROR if d.severity == Severity.ERROR else Level.WARNING,
            message=escape(d.message),
            position=d.position,
            place=d.pointer,
            advice=escape(d.advice),
        )
        for d in diagnostics
    ]


def of_plan(plan: Plan) -> list[Finding]:
    """One for each change that is not settled, and one for each key about which nothing is known."""
    found = [finding for change in plan.changes for finding in _of_change(change)]
    return found + [_unknown(key, reason) for key, reason in sorted(plan.unknown.items())]


def _of_change(change: Change) -> Iterator[Finding]:
    for refusal in summary.objections(change):
        yield _refused(change, refusal)
    if summary.settled(change) or (summary.objections(change) and not change.steps):
        return
    risky = change.risk > Risk.BLIP or change.verb in (Verb.DELETE, Verb.REPLACE) or summary.is_drift(change)
    yield Finding(
        rule=_rule(change),
        level=Level.WARNING if risky else Level.NOTE,
        message=sentence(change),
        position=change.position,
        place=str(change.key),
    )


def _rule(change: Change) -> str:
    if summary.is_drift(change):
        return "drift"
    kind = summary.category(change)
    return "waiting" if kind == "waiting" else f"change-{kind}"


def sentence(change: Change) -> str:
    """A change on one line: ``VirtualMachine/web-01: update; spec.memory 4GiB → 8GiB (needs a restart of the VM)``."""
    drift = "drift, " if summary.is_drift(change) else ""
    parts = [f"{change.key}: {drift}{change.verb.value if change.verb != Verb.NONE else summary.category(change)}"]
    whole = change.verb in (Verb.CREATE, Verb.DELETE)
    fields = [_field(f, whole) for f in change.fields if not f.ignored]
    parts += fields or [step.text for step in change.steps]
    parts += sorted({f"{step.risk.label}: {step.why or step.text}" for step in change.steps if step.risk > Risk.NONE})
    parts += [refusal.message for refusal in change.refused if refusal.waiting]
    return escape("; ".join(parts))


def _field(field: FieldChange, whole: bool) -> str:
    words = "" if whole else values.effect(field)
    return f"{field.path} {values.difference(field)}" + (f" ({words})" if words else "")


def _refused(change: Change, refusal: Refusal) -> Finding:
    lacking = refusal.reason == summary.NEEDS_PERMISSION
    return Finding(
        rule="refused-" + re.sub(r"(?<!^)(?=[A-Z])", "-", refusal.reason).lower(),
        level=Level.WARNING if lacking else Level.ERROR,
        message=escape(f"{change.key}: {refusal.message}"),
        position=change.position,
        place=str(change.key),
        advice=escape(refusal.advice),
    )


def _unknown(key: Key, reason: str) -> Finding:
    return Finding(rule="unknown", level=Level.ERROR, message=escape(f"{key}: unknown: {reason}"), place=str(key))
