"""End a suspension: the resource is reconciled again from the next pass on."""

from __future__ import annotations

import argparse
import sys

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, completes

EXITS = (exits.OK, exits.FAILED, exits.USAGE)
EXAMPLES = """
  cellctl resume vm/web-01
"""


def configure(parser: argparse.ArgumentParser) -> None:
    completes(parser.add_argument("key", metavar="KIND/NAME", help="the resource"), "kind")
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.cli.session import open_status, parse_key

    key = parse_key(args.key)
    was = open_status(args).resume(key)
    if args.format == "json":
        json.write({"formatVersion": json.FORMAT_VERSION, "key": str(key), "resumed": was}, sys.stdout)
    else:
        print(f"{escape(str(key))} {'is resumed' if was else 'was not suspended by cellctl suspend'}")
    if not was:
        print("an annotation cell/suspend in its document is ended there", file=sys.stderr)
    return exits.OK
