"""Draw how this host hangs together: NIC → bond → VLAN → bridge → vnet → VM → volume.

With specs (-f) what differs from them is marked: + declared and not there, ~ differs (or pending until a restart),
- declared no more. Always marked: ! a link that is down or has no carrier, ? what is not ours (foreign) or not known.
Each mark is a sign and a word, and a colour where colours are on. What several things share is shown once.

Reads only, and works on a snapshot (--live) as well as on the host. A resource (KIND/NAME) narrows it to what that
stands on and what stands on it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import SPECS_DIR, add_format, add_specs, completes, spec_paths, use_color

if TYPE_CHECKING:
    from cell_reconciler.cli.topology import Topology
    from cell_reconciler.model.live import Live

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.INVALID, exits.UNREACHABLE)
EXAMPLES = """
  cellctl graph                                        the host as it is
  cellctl graph -f specs/                              and where it differs from the specs
  cellctl graph -f specs/ vm/web-01                    what one VM stands on
  cellctl graph --format svg > host.svg                a picture (needs graphviz)
  cellctl graph -f specs/ --live live.json --format mermaid > comment.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    key = parser.add_argument("key", nargs="?", metavar="KIND/NAME", help="only this resource and its surroundings")
    completes(key, "kind")
    add_specs(parser)
    completes(parser.add_argument("--live", metavar="FILE", help="a snapshot of 'cellctl observe'"), "file")
    add_format(parser, "text", "dot", "mermaid", "svg", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render.style import escape

    found, live, valid = _look(args)
    _print(args, found)
    sys.stdout.flush()
    for gap in live.gaps:
        scope = f" ({gap.scope})" if gap.scope else ""
        print(f"note: {gap.source.value}{scope} did not answer: {escape(gap.reason)}", file=sys.stderr)
    codes = [exits.UNREACHABLE] if live.gaps else []
    return exits.worst(codes if valid else [*codes, exits.INVALID])


def _look(args: argparse.Namespace) -> tuple[Topology, Live, bool]:
    """The picture, what it was drawn from, and whether the specs are valid."""
    from cell_reconciler.cli.session import open_engine, parse_key
    from cell_reconciler.cli.snapshot import complete, read
    from cell_reconciler.cli.topology import around, topology
    from cell_reconciler.kinds.world import build

    key = parse_key(args.key) if args.key else None
    snapshot = read(args.live, args.host) if args.live else None
    named = bool(getattr(args, "specs", None)) or (os.path.isdir(SPECS_DIR) and snapshot is None)
    paths = spec_paths(args) if named else ()
    with open_engine(args, host=snapshot.host if snapshot else "", paths=paths) as engine:
        loaded = engine.load()
        live = complete(snapshot, loaded.documents) if snapshot else engine.observe(loaded.documents)
        plan = engine.plan(loaded, live) if named else None
    for diagnostic in loaded.diagnostics:
        print(str(diagnostic), file=sys.stderr)
    found = topology(build(live.host, loaded.documents, live), plan)
    return (around(found, key, loaded.documents) if key else found), live, loaded.complete


def _print(args: argparse.Namespace, found: Topology) -> None:
    from cell_reconciler.cli.render import graph_dot, graph_mermaid, graph_text, json

    if args.format == "json":
        import msgspec

        json.write({"formatVersion": json.FORMAT_VERSION, **msgspec.to_builtins(found)}, sys.stdout)
    elif args.format == "svg":
        sys.stdout.write(graph_dot.svg(found))
    else:
        encoding = (sys.stdout.encoding or "").lower()
        lines = {
            "text": lambda: graph_text.lines(found, color=use_color(args), ascii=not encoding.startswith("utf")),
            "dot": lambda: graph_dot.lines(found),
            "mermaid": lambda: graph_mermaid.lines(found),
        }[args.format]()
        sys.stdout.writelines(f"{line}\n" for line in lines)
