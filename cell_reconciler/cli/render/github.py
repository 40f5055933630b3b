"""GitHub Actions annotations: workflow commands on stdout.

GitHub keeps 10 errors, 10 warnings and 10 notices of a step and drops the rest without a word, so the most important
are printed and one last notice says how many more there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cell_reconciler.cli.render.findings import Finding, Level, relative
from cell_reconciler.cli.render.style import escape

LIMIT = 10
_COMMAND = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def lines(findings: Sequence[Finding], total: str, base: str) -> Iterator[str]:
    """``::error file=…,line=…,col=…,title=…::message``; ``total`` is the closing notice."""
    left_out = 0
    for level in Level:
        of_level = [f for f in findings if f.level == level]
        room = LIMIT - 1 if level == Level.NOTE else LIMIT  # the closing notice needs a place too
        left_out += max(len(of_level) - room, 0)
        yield from (_line(f, base) for f in of_level[:room])
    more = f" {left_out} more are in the log of this step only." if left_out else ""
    yield f"::notice title=cellctl::{_data(escape(total + more))}"


def _line(finding: Finding, base: str) -> str:
    properties = {"title": finding.rule}
    if finding.position:
        position = finding.position
        properties = {
            "file": escape(relative(position.file, base)),
            "line": str(position.line),
            "col": str(position.column),
            **properties,
        }
    text = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{_COMMAND[finding.level]} {text}::{_data(finding.text)}"


def _data(text: str) -> str:
    """The escaping of a message (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """The escaping of a property: that of a message, and its separators."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
