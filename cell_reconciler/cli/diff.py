"""Show what apply would do, and change nothing.

The plan is made by the code that apply and run use, so what is shown is what is done. Needs read access only. An
invalid document is reported and left out; the rest is compared all the same.

In CI, without the host: --live compares with a snapshot that 'cellctl observe' wrote there, --base compares the
specs with those of a git revision, field by field (for every declared host, unless --host names one).
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_planning, add_specs, completes, use_color

if TYPE_CHECKING:
    from cell_reconciler.model.change import Plan
    from cell_reconciler.model.diagnostic import Diagnostic

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.DIFFERENCES, exits.INVALID, exits.UNREACHABLE, exits.REFUSED)
EXAMPLES = """
  cellctl diff -f specs/
  cellctl diff -f specs/ --exit-code -q               3 when anything differs, nothing printed
  cellctl diff -f specs/ --live live.json --format markdown > comment.md
  cellctl diff -f specs/ --base origin/main           what does this branch change?
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)
    source = parser.add_mutually_exclusive_group()
    completes(
        source.add_argument("--live", metavar="FILE", help="compare with a snapshot of 'cellctl observe'"), "file"
    )
    source.add_argument("--base", metavar="REV", help="compare with the specs of a git revision")
    parser.add_argument("--exit-code", action="store_true", help="exit with 3 when there are differences")
    add_planning(parser)
    add_format(parser, "text", "json", "github", "sarif", "junit", "markdown")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render.plan import render
    from cell_reconciler.cli.render.summary import verdict

    plan, diagnostics = _base(args) if args.base else _host(args)
    if not (args.quiet and args.format == "text"):
        render(
            plan,
            format=args.format,
            stream=sys.stdout,
            color=use_color(args),
            diagnostics=diagnostics,
            verbose=bool(args.verbose),
        )
    return verdict(plan, diagnostics, differences=args.exit_code)


def _host(args: argparse.Namespace) -> tuple[Plan, tuple[Diagnostic, ...]]:
    from cell_reconciler.cli.session import need_key, open_engine
    from cell_reconciler.cli.snapshot import complete, read

    snapshot = read(args.live, args.host) if args.live else None
    with open_engine(args, host=snapshot.host if snapshot else "") as engine:
        loaded = engine.load()
        for key in engine.options.only:
            need_key(loaded.documents, key)
        live = complete(snapshot, loaded.documents) if snapshot else None
        return engine.plan(loaded, live), loaded.diagnostics


def _base(args: argparse.Namespace) -> tuple[Plan, tuple[Diagnostic, ...]]:
    from cell_reconciler.cli.options import spec_paths
    from cell_reconciler.cli.revision import compare_revision

    return compare_revision(args.base, spec_paths(args), args.host)
