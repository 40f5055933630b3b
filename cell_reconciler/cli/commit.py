"""Keep a change of the network that 'cellctl apply --confirm-timeout' made, instead of letting it be undone.

Say it over the connection that the change could have cut: that is the proof. Works beside a running 'cellctl run',
and needs no specs. What was kept is what the next boot brings back.
"""

from __future__ import annotations

import argparse
import sys

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.REFUSED)
EXAMPLES = """
  cellctl apply --confirm-timeout 5m
  cellctl commit
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli import awaiting
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.converge.operator import commit

    found = commit(args.state_dir)
    if args.format == "json":
        body = {"committed": True, "change": awaiting.plain(found)}
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
    else:
        print(f"the change of {escape(found.what)} is kept")
    return exits.OK
