"""A plan in any format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from cell_reconciler.cli.render import summary
from cell_reconciler.model.change import Plan
from cell_reconciler.model.diagnostic import Diagnostic

FORMATS = ("text", "json", "github", "sarif", "junit", "markdown")


def render(
    plan: Plan,
    *,
    format: str,
    stream: TextIO,
    color: bool = False,
    diagnostics: Sequence[Diagnostic] = (),
    verbose: bool = False,
    base: str | None = None,
) -> None:
    """Write ``plan`` to ``stream``. ``base`` is the checkout that paths are relative to (default: here)."""
    base = base or os.getcwd()
    if format == "json":
        from cell_reconciler.cli.render import json

        json.write(json.plan(plan, diagnostics), stream)
    elif format == "markdown":
        from cell_reconciler.cli.render import markdown

        stream.write(markdown.plan(plan, diagnostics, base))
    elif format == "text":
        from cell_reconciler.cli.render import text

        lines = text.plan_lines(plan, color=color, verbose=verbose, diagnostics=diagnostics)
        stream.writelines(f"{line}\n" for line in lines)
    else:
        _findings(plan, diagnostics, format, stream, base)


def _findings(plan: Plan, diagnostics: Sequence[Diagnostic], format: str, stream: TextIO, base: str) -> None:
    from cell_reconciler.cli.render import findings, github, json, junit, sarif

    found = findings.of_diagnostics(diagnostics) + findings.of_plan(plan)
    if format == "github":
        total = f"{plan.host}: {summary.sentence(summary.summarize(plan))}"
        stream.writelines(f"{line}\n" for line in github.lines(found, total, base))
    elif format == "sarif":
        json.write(sarif.document(found, base), stream)
    elif format == "junit":
        keys = sorted({c.key for c in plan.changes} | set(plan.unknown))
        cases = [junit.Case(key.kind, key.name, [f for f in found if f.place == str(key)]) for key in keys]
        invalid = findings.of_diagnostics(diagnostics)
        junit.write([*junit.by_file(invalid, base), *cases], stream, suite=f"cellctl {plan.host}")
    else:
        raise ValueError(f"{format!r} is not a format")
