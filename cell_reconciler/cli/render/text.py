"""For people at a terminal (and in a log): signs first, values escaped, one resource a block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from cell_reconciler.cli.render import summary, values
from cell_reconciler.cli.render.style import Style, escape
from cell_reconciler.model.change import Cause, Change, FieldChange, Plan, Refusal, Risk, Verb
from cell_reconciler.model.diagnostic import Diagnostic, Severity

_COLOR = {"+": "green", "-": "red", "~": "yellow", "!": "red", "=": "dim", "?": "cyan"}
_SIGN = {
    Verb.CREATE: "+",
    Verb.DELETE: "-",
    Verb.UPDATE: "~",
    Verb.REPLACE: "~",
    Verb.ADOPT: "~",
    Verb.NONE: "~",
}
_WORDS = {
    Verb.CREATE: "create",
    Verb.UPDATE: "update",
    Verb.REPLACE: "replace: delete, then create",
    Verb.DELETE: "delete",
    Verb.ADOPT: "adopt: take over the existing object",
    Verb.NONE: "",
}


def plan_lines(
    plan: Plan, *, color: bool, verbose: bool = False, diagnostics: Sequence[Diagnostic] = ()
) -> Iterator[str]:
    """The whole answer to ``diff``: header, changes, drift, what is unknown or not ours, the sum."""
    style = Style(color)
    yield from (line for d in diagnostics for line in diagnostic_lines(d, style))
    if diagnostics:
        yield ""
    yield style.paint(_header(plan), "bold")
    shown = [c for c in plan.changes if not summary.settled(c) or c.notes or c.fields or c.steps]
    drifted = [c for c in shown if summary.is_drift(c)]
    declared = [c for c in shown if not summary.is_drift(c)]
    width = max((len(_title(c)) for c in shown), default=0)
    yield from _section("", declared, width, style, verbose)
    yield from _section("Drift: not as it was last applied", drifted, width, style, verbose)
    yield from _rest(plan, style, verbose)
    yield ""
    yield _total(plan, style)


def _header(plan: Plan) -> str:
    parts = [escape(plan.host)]
    parts += [
        f"{name} {_short(digest)}"
        for name, digest in (("specs", plan.specs_digest), ("host", plan.live_digest))
        if digest
    ]
    return " · ".join(parts)


def _short(digest: str) -> str:
    return escape(digest.removeprefix("sha256:")[:7])


def _title(change: Change) -> str:
    return escape(str(change.key))


def _section(title: str, changes: Sequence[Change], width: int, style: Style, verbose: bool) -> Iterator[str]:
    if not changes:
        return
    yield ""
    if title:
        yield style.paint(title, "bold")
    for change in changes:
        yield from change_lines(change, width, style, verbose)


def change_lines(change: Change, width: int = 0, style: Style | None = None, verbose: bool = False) -> Iterator[str]:
    """One resource: its headline, its fields, what it does to others, who objects."""
    style = style or Style(False)
    sign = head_sign(change)
    where = _where(change)
    words = f"{headline(change):<28}  {where}".rstrip() if where else headline(change)
    yield f"{style.paint(sign, _COLOR[sign])} {_title(change):<{width}}  {words}".rstrip()
    whole = change.verb in (Verb.CREATE, Verb.DELETE)  # then no field is *changed*, so none has an effect of its own
    yield from _fields(change.fields, style, None if verbose else values.LONG, whole=whole)
    if change.steps and (verbose or not any(not f.ignored for f in change.fields)):
        yield from (f"      {escape(step.text)}" for step in change.steps)
    yield from _risks(change, style)
    yield from (line for refusal in change.refused for line in _refusal(refusal, style))
    yield from (f"    {style.paint('=', 'dim')} {escape(note)}" for note in change.notes)


def head_sign(change: Change) -> str:
    """The sign of a whole resource."""
    if summary.settled(change):
        return "="
    if summary.objections(change) and not change.steps:
        return "!"
    return "=" if summary.category(change) == "waiting" else _SIGN[change.verb]


def headline(change: Change) -> str:
    """``update, restarts the VM``, ``refused: would delete``."""
    words = _WORDS[change.verb]
    if summary.objections(change) and not change.steps:
        return f"refused: would {change.verb.value}" if words else "refused"
    if summary.waits(change):
        return f"waiting: would {change.verb.value}" if words else "waiting"
    if summary.settled(change):
        return "not declared any more" if change.cause == Cause.PRUNE else "in sync"
    if not change.steps and change.pending:
        return "pending: next start"
    if change.cause == Cause.PRUNE:
        words = "delete: no document declares it any more"
    return (words or "update") + (", restarts the VM" if any(s.restart for s in change.steps) else "")


def _where(change: Change) -> str:
    if change.derived_from:
        return "derived from " + escape(", ".join(str(key) for key in change.derived_from))
    return escape(f"{change.position.file}:{change.position.line}") if change.position else ""


def _fields(fields: Iterable[FieldChange], style: Style, limit: int | None, *, whole: bool) -> Iterator[str]:
    rows = [
        (
            values.sign(f),
            escape(f.path),
            values.difference(f, limit),
            "" if whole and not f.ignored else values.effect(f),
        )
        for f in fields
    ]
    wide = min(max((len(path) for _, path, _, _ in rows), default=0), 40)
    wider = min(max((len(text) for _, _, text, _ in rows), default=0), 40)
    for sign, path, text, words in rows:
        tail = f"  {style.paint(words, 'dim')}" if words else ""
        yield f"    {style.paint(sign, _COLOR[sign])} {path:<{wide}}  {text:<{wider if tail else 0}}{tail}"


def _risks(change: Change, style: Style) -> Iterator[str]:
    """One line for each thing that a step may do to others; more than a blip names the permission."""
    for risk, why in Counter((s.risk, s.why or s.text) for s in change.steps if s.risk > Risk.NONE):
        permission = f" (permitted by --allow {risk.label} or the settings)" if risk > Risk.BLIP else ""
        yield f"    {style.paint('!', 'red')} {style.paint(risk.label, 'bold')}: {escape(why)}{permission}"


def _refusal(refusal: Refusal, style: Style) -> Iterator[str]:
    sign = "=" if refusal.waiting else "!"
    yield f"    {style.paint(sign, _COLOR[sign])} {escape(refusal.reason)}: {escape(refusal.message)}"
    if refusal.advice:
        yield f"        {escape(refusal.advice)}"


def _rest(plan: Plan, style: Style, verbose: bool) -> Iterator[str]:
    mark = style.paint("?", "cyan")
    if plan.unknown or plan.foreign:
        yield ""
    for key, reason in sorted(plan.unknown.items()):
        yield f"{mark} {escape(str(key))}  unknown: {escape(reason)}"
    if verbose:
        yield from (f"{mark} {escape(str(key))}  foreign: not ours, left alone" for key in plan.foreign)
    elif plan.foreign:
        kinds = Counter(key.kind for key in plan.foreign)
        words = ", ".join(f"{count} {escape(kind)}" for kind, count in sorted(kinds.items()))
        yield f"{mark} {len(plan.foreign)} foreign (not ours, left alone): {words}; -v names them"


def _total(plan: Plan, style: Style) -> str:
    counts = summary.summarize(plan)
    if plan.empty:
        return style.paint(f"No differences: {counts.in_sync} in sync.", "green")
    return style.paint(summary.sentence(counts), "bold")


def diagnostic_lines(diagnostic: Diagnostic, style: Style) -> Iterator[str]:
    """``file:line:col: error [rule] message  (pointer)``, as editors and compilers have it."""
    d = diagnostic
    severity = style.paint(d.severity.value, "red" if d.severity == Severity.ERROR else "yellow")
    tail = f"  ({escape(d.pointer)})" if d.pointer else ""
    yield f"{style.paint(escape(str(d.position)), 'bold')}: {severity} [{escape(d.rule)}] {escape(d.message)}{tail}"
    if d.advice:
        yield f"    {escape(d.advice)}"


def validation_lines(
    diagnostics: Sequence[Diagnostic], *, files: int, documents: int, seconds: float, color: bool
) -> Iterator[str]:
    """The whole answer to ``validate``."""
    style = Style(color)
    yield from (line for d in diagnostics for line in diagnostic_lines(d, style))
    errors = sum(d.severity == Severity.ERROR for d in diagnostics)
    warnings = len(diagnostics) - errors
    checked = f"{count(documents, 'document')} checked, {seconds:.1f} s"
    if not diagnostics:
        yield style.paint(f"{count(files, 'file')} valid ({checked})", "green")
        return
    found = [count(number, word) for number, word in ((errors, "error"), (warnings, "warning")) if number]
    bad = len({d.position.file for d in diagnostics})
    yield f"{', '.join(found)} in {bad} of {count(files, 'file')} ({checked})"


def count(number: int, word: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {word}{'' if number == 1 else 's'}"
