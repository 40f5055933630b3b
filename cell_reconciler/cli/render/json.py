"""For machines: everything, and a version.

``formatVersion``: a new minor number adds keys (ignore those you do not know); a new major one changes their
meaning (reject it).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

from cell_reconciler.cli.render import summary, values
from cell_reconciler.model.change import Change, FieldChange, Plan, Step
from cell_reconciler.model.diagnostic import Diagnostic, Position, Severity

FORMAT_VERSION = "1.0"


def write(value: dict[str, Any] | list[Any], stream: TextIO) -> None:
    """One indented document; control characters are escaped by JSON itself."""
    json.dump(value, stream, indent=2, default=_plain)
    stream.write("\n")


def _plain(value: Any) -> Any:
    """Structs, keys and enums as plain values."""
    return msgspec.to_builtins(value, str_keys=True)


def plan(plan: Plan, diagnostics: Sequence[Diagnostic] = ()) -> dict[str, Any]:
    """A plan; ``steps`` are in an order in which they can be made, ``after`` are the ids of those before."""
    by_key: dict[str, list[int]] = {}
    for index, step in enumerate(plan.steps):
        by_key.setdefault(str(step.key), []).append(index)
    return {
        "formatVersion": FORMAT_VERSION,
        "host": plan.host,
        "specsDigest": plan.specs_digest,
        "liveDigest": plan.live_digest,
        "complete": not plan.unknown and not any(d.severity == Severity.ERROR for d in diagnostics),
        "empty": plan.empty,
        "summary": msgspec.to_builtins(summary.summarize(plan)),
        "changes": [_change(c, by_key.get(str(c.key), [])) for c in plan.changes if not c.quiet or c.notes],
        "steps": [_step(i, s, plan.before(i)) for i, s in enumerate(plan.steps)],
        "unknown": [{"key": str(key), "reason": reason} for key, reason in sorted(plan.unknown.items())],
        "foreign": [str(key) for key in plan.foreign],
        "inSync": [str(c.key) for c in plan.changes if c.quiet or c.upkeep],
        "diagnostics": [diagnostic(d) for d in diagnostics],
    }


def _change(change: Change, steps: list[int]) -> dict[str, Any]:
    return {
        "key": str(change.key),
        "kind": change.key.kind,
        "name": change.key.name,
        "verb": change.verb.value,
        "cause": change.cause.value,
        "category": summary.category(change),
        "risk": change.risk.label,
        "restart": any(step.restart for step in change.steps),
        "position": _position(change.position),
        "derivedFrom": [str(key) for key in change.derived_from],
        "fields": [field(f) for f in change.fields],
        "steps": steps,
        "refused": [msgspec.to_builtins(refusal) for refusal in change.refused],
        "notes": list(change.notes),
    }


def field(field: FieldChange) -> dict[str, Any]:
    """One field that differs; a secret's values are replaced."""
    have, want = values.plain(field)
    return {
        "path": field.path,
        "op": values.op(field),
        "have": have,
        "want": want,
        "effect": field.effect.value,
        "pending": field.pending,
        "ignored": field.ignored,
        "secret": field.secret,
    }


def _step(index: int, step: Step, before: tuple[int, ...]) -> dict[str, Any]:
    return {
        "id": index,
        "key": str(step.key),
        "op": step.op,
        "text": step.text,
        "risk": step.risk.label,
        "why": step.why,
        "restart": step.restart,
        "deletes": step.deletes,
        "after": list(before),
    }


def _position(position: Position | None) -> dict[str, Any] | None:
    return {"file": position.file, "line": position.line, "column": position.column} if position else None


def diagnostic(d: Diagnostic) -> dict[str, Any]:
    """One finding of the load, flat."""
    return {
        "file": d.position.file,
        "line": d.position.line,
        "column": d.position.column,
        "severity": d.severity.value,
        "rule": d.rule,
        "message": d.message,
        "pointer": d.pointer,
        "advice": d.advice,
    }


def validation(diagnostics: Sequence[Diagnostic], *, files: int, documents: int, seconds: float) -> dict[str, Any]:
    """The answer to ``validate``."""
    errors = sum(d.severity == Severity.ERROR for d in diagnostics)
    return {
        "formatVersion": FORMAT_VERSION,
        "valid": errors == 0,
        "files": files,
        "documents": documents,
        "seconds": round(seconds, 3),
        "errors": errors,
        "warnings": len(diagnostics) - errors,
        "diagnostics": [diagnostic(d) for d in diagnostics],
    }
