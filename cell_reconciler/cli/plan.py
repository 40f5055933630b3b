"""Show what apply would do, step by step and in order, and keep it for apply.

A saved plan (--out) carries digests of the specs and of the host. 'cellctl apply FILE' plans again, by the same code,
and refuses when either moved: what was reviewed is what is done.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_planning, add_specs, completes, use_color

if TYPE_CHECKING:
    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.converge.engine import Engine
    from cell_reconciler.model.change import Plan
    from cell_reconciler.model.document import Loaded

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.DIFFERENCES, exits.INVALID, exits.UNREACHABLE, exits.REFUSED)
EXAMPLES = """
  cellctl plan -f specs/
  cellctl plan -f specs/ --allow cuts-vm --out plan.json && cellctl apply plan.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)
    completes(parser.add_argument("--out", metavar="FILE", help="save the plan for 'cellctl apply FILE'"), "file")
    parser.add_argument("--exit-code", action="store_true", help="exit with 3 when there are differences")
    add_planning(parser)
    add_format(parser, "text", "json", "github", "sarif", "junit", "markdown")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render.plan import render
    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.cli.render.summary import verdict
    from cell_reconciler.cli.session import need_key, open_engine

    color = use_color(args)
    with open_engine(args) as engine:
        loaded = engine.load()
        for key in engine.options.only:
            need_key(loaded.documents, key)
        plan = engine.plan(loaded)
        verbose = bool(args.verbose)
        if not (args.quiet and args.format == "text"):
            diagnostics = loaded.diagnostics
            render(plan, format=args.format, stream=sys.stdout, color=color, diagnostics=diagnostics, verbose=verbose)
            if args.format == "text":
                _steps(plan, Style(color))
        if args.out:
            _save(engine, loaded, plan, args.out)
    return verdict(plan, loaded.diagnostics, differences=args.exit_code)


def _steps(plan: Plan, style: Style) -> None:
    """The order: each step with its risk and the numbers of the steps before it."""
    from cell_reconciler.cli.render.style import escape

    if plan.steps:
        print()
        print(style.paint("Steps", "bold"))
    width = len(str(len(plan.steps)))
    for index, step in enumerate(plan.steps):
        before = plan.before(index)
        after = f"  after {', '.join(str(b + 1) for b in before)}" if before else ""
        risk = f"  {style.paint(f'! {step.risk.label}', 'red')}" if step.risk else ""
        print(f"  {index + 1:>{width}}  {escape(step.text)}{risk}{style.paint(after, 'dim')}")


def _save(engine: Engine, loaded: Loaded, plan: Plan, path: str) -> None:
    from datetime import UTC, datetime

    from cell_reconciler.converge.saved import save_plan

    policy = engine.policy(loaded, datetime.now(UTC))
    save_plan(
        plan,
        path,
        allow=policy.allow.label,
        prune=policy.prune,
        only=tuple(str(key) for key in engine.options.only),
        paths=tuple(os.path.abspath(p) for p in engine.options.paths),
    )
    print(f"saved; apply it with: cellctl apply {path}", file=sys.stderr)
