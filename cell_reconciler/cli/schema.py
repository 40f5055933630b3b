"""Print the JSON Schema (draft-07) of a kind, or the bundle of all kinds that editors use for a whole directory."""

from __future__ import annotations

import argparse
import sys

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import completes

EXITS = (exits.OK, exits.USAGE)
EXAMPLES = """
  cellctl schema VirtualMachine
  cellctl schema --bundle > .vscode/cell.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    completes(parser.add_argument("kind", metavar="KIND", nargs="?", help="a kind (default: the bundle)"), "kind")
    parser.add_argument("--bundle", action="store_true", help="all kinds in one schema, chosen by 'kind'")
    parser.add_argument("--format", choices=("json",), default="json", help="a schema is JSON")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.errors import UsageError
    from cell_reconciler.load.describe import find_kind
    from cell_reconciler.load.schema import bundle, kind_schema, render

    if args.kind and args.bundle:
        raise UsageError("KIND and --bundle exclude each other", "leave one of them out")
    sys.stdout.write(render(kind_schema(find_kind(args.kind)) if args.kind else bundle()))
    return exits.OK
