"""A comment for a pull or merge request: the sum, a table of what matters, and the differences to unfold.

The first line is a hidden marker, by which a pipeline finds its own comment and replaces it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cell_reconciler.cli.render import summary, text
from cell_reconciler.cli.render.findings import Level, of_diagnostics, relative
from cell_reconciler.cli.render.style import escape
from cell_reconciler.model.change import Change, Plan, Risk
from cell_reconciler.model.diagnostic import Diagnostic

LIMIT = 65_000  # GitHub refuses more than 65,536 characters in a comment
ROWS = 50
CELL = 300  # characters of a table cell
_ROOM = 1_000  # for what follows the diff


def plan(plan: Plan, diagnostics: Sequence[Diagnostic], base: str) -> str:
    """The comment for a plan."""
    counts = summary.summarize(plan)
    shown = [c for c in plan.changes if not summary.settled(c)]
    head = [
        f"<!-- cellctl:diff:{_marker(plan.host)} -->",
        f"### Cell host {code(plan.host)}",
        "",
        f"**No differences.** {counts.in_sync} in sync." if plan.empty else f"**{summary.sentence(counts)}**",
        "",
        *_invalid(diagnostics, base),
        *_table(shown),
        *[f"- {code(str(key))} is unknown: {code(reason)}" for key, reason in sorted(plan.unknown.items())[:ROWS]],
        "",
    ]
    body = "\n".join(_fit(head, LIMIT - _ROOM)) + "\n"
    return body if plan.empty and not diagnostics else body + _unfold(plan, LIMIT - len(body) - _ROOM)


def validation(diagnostics: Sequence[Diagnostic], *, files: int, documents: int, base: str) -> str:
    """The comment for a validation."""
    errors = sum(f.level == Level.ERROR for f in of_diagnostics(diagnostics))
    wrong = f"**{text.count(errors, 'error')}, {text.count(len(diagnostics) - errors, 'warning')}**"
    result = wrong if diagnostics else "**All valid**"
    checked = f"{text.count(files, 'file')}, {text.count(documents, 'document')}"
    lines = [
        "<!-- cellctl:validate -->",
        "### Cell specs",
        "",
        f"{result} in {checked}.",
        "",
    ]
    return "\n".join(_fit(lines + _invalid(diagnostics, base), LIMIT)) + "\n"


def _invalid(diagnostics: Sequence[Diagnostic], base: str) -> list[str]:
    if not diagnostics:
        return []
    rows = ["| Where | Rule | Message |", "|---|---|---|"]
    for d in diagnostics[:ROWS]:
        place = f"{relative(d.position.file, base)}:{d.position.line}:{d.position.column}"
        rows.append(f"| {code(place)} | {d.severity.value} {code(d.rule)} | {code(d.message)} |")
    if len(diagnostics) > ROWS:
        rows.append(f"| | | and {len(diagnostics) - ROWS} more |")
    return [*rows, ""]


def _table(changes: Sequence[Change]) -> list[str]:
    if not changes:
        return []
    rows = ["| | Resource | What | Risk |", "|---|---|---|---|"]
    for change in changes[:ROWS]:
        risk = change.risk.label if change.risk > Risk.NONE else ""
        what = ("drift; " if summary.is_drift(change) else "") + text.headline(change)
        rows.append(f"| {code(text.head_sign(change))} | {code(str(change.key))} | {what} | {risk} |")
    if len(changes) > ROWS:
        rows.append(f"| | and {len(changes) - ROWS} more | | |")
    return [*rows, ""]


def _unfold(plan: Plan, room: int) -> str:
    """The text rendering in a ``diff`` block, as many lines as there is room for."""
    kept = _fit([_marked(line) for line in text.plan_lines(plan, color=False)], room)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", "\n".join(kept))), default=0))
    body = "\n".join(kept)
    return f"<details><summary>Show the differences</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>\n"


def _fit(lines: Sequence[str], room: int) -> list[str]:
    """As many whole lines as there is room for, and how many were left out."""
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            return [*kept, f"# {len(lines) - len(kept)} more lines: see the log of the job"]
        kept.append(line)
    return kept


def _marker(host: str) -> str:
    """A host's name inside an HTML comment, which two hyphens would end."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", host).replace("--", "__")[:64]


def _marked(line: str) -> str:
    """Move the sign to the first column, where the ``diff`` colouring looks; ``~`` is coloured by ``!``."""
    body = line.lstrip(" ")
    if not body or body[0] not in "+-~!" or body[1:2] != " ":
        return line
    sign = "!" if body[0] == "~" else body[0]
    return sign + " " * (len(line) - len(body)) + body[1:]


def code(value: str) -> str:
    """Any text as a code span that survives in a table cell, and mentions nobody."""
    text = (value if len(value) <= CELL else value[: CELL - 1] + "…").strip()
    text = escape(text).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"
