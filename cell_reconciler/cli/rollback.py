"""Undo a change of the network that is not confirmed yet, at once instead of at its deadline.

Brings links, addresses, routes and rules back to what they were before the change, also when the process that made it
is gone, and also what could not be undone before. A running 'cellctl run' does not make the same change again until
its document changes; 'cellctl apply' does.
"""

from __future__ import annotations

import argparse
import sys

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.UNREACHABLE, exits.REFUSED)
EXAMPLES = """
  cellctl rollback
  cellctl rollback --format json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli import awaiting
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.converge.operator import rollback
    from cell_reconciler.drivers import Doors

    doors = Doors()
    try:
        found = rollback(args.state_dir, doors)
    finally:
        doors.close()
    if args.format == "json":
        body = {"rolledBack": True, "change": awaiting.plain(found), "writes": doors.writes.calls}
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
        return exits.OK
    print(f"the change of {escape(found.what)} is undone, which {escape(found.by)} made at {found.since}")
    print(f"as before: {escape(', '.join(sorted(found.touched)))}; {doors.writes.total} writing calls")
    return exits.OK
