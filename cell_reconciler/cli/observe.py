"""Take a snapshot of this host as JSON, for 'diff --live' on a machine that has no hypervisor.

The specs (-f) name the storage pools to look at. Holds facts only, no secrets: a secret is a digest in it. Needs read
access only. A source that does not answer is a gap in the snapshot, and the exit code is 5.
"""

from __future__ import annotations

import argparse
import os
import sys

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import SPECS_DIR, add_specs, completes, spec_paths

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.UNREACHABLE)
EXAMPLES = """
  cellctl observe -f specs/ -o live.json
  cellctl observe | jq '.live.domains | keys'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)
    completes(parser.add_argument("-o", "--output", metavar="FILE", help="write to a file (default: stdout)"), "file")
    parser.add_argument("--format", choices=("json",), default="json", help="of the result (there is one)")


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    import msgspec

    from cell_reconciler.cli.session import moment, open_engine
    from cell_reconciler.cli.snapshot import to_json
    from cell_reconciler.model.live import Source

    named = getattr(args, "specs", None) or os.path.isdir(SPECS_DIR)
    with open_engine(args, paths=spec_paths(args) if named else ()) as engine:
        live = engine.observe(engine.load().documents if named else {})
        if live.node is None and live.gap(Source.LIBVIRT) is None:  # libvirtd has just started: a snapshot is whole
            live = msgspec.structs.replace(live, node=engine.doors.libvirt.node())
    data = to_json(live, moment())
    if args.output and args.output != "-":
        Path(args.output).write_bytes(data)
    else:
        sys.stdout.write(data.decode())
    for gap in live.gaps:
        scope = f" ({gap.scope})" if gap.scope else ""
        print(f"{gap.source.value}{scope} did not answer: {gap.reason}", file=sys.stderr)
    return exits.UNREACHABLE if live.gaps else exits.OK
