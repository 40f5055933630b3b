"""Check specs offline: YAML, schema, the rules of the kinds, references. Every mistake in one run, with its place.

No hypervisor, network or Ceph library is loaded. Without --host, every document is checked for every host that the
documents name; a reference to something that no document declares is then a warning, since it may exist on the host.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_specs, spec_paths, use_color

EXITS = (exits.OK, exits.USAGE, exits.INVALID)
EXAMPLES = """
  cellctl validate                               the directory specs/ here, else that of the service
  cellctl validate -f specs/ -f extra.yaml --host cell-01
  cellctl validate -f specs/ --format github     annotations in a workflow
  cat vm.yaml | cellctl validate -f -
"""
_HERE = "specs"


def configure(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)
    parser.add_argument("--strict", action="store_true", help="warnings are errors too")
    add_format(parser, "text", "json", "github", "sarif", "junit", "markdown")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render.diagnostics import render
    from cell_reconciler.load import Specs
    from cell_reconciler.model.diagnostic import Severity

    started = time.monotonic()
    given = getattr(args, "specs", None)
    specs = Specs((_HERE,) if not given and os.path.isdir(_HERE) else spec_paths(args), args.host)
    loaded = specs.scan()
    render(
        loaded.diagnostics,
        format=args.format,
        files=loaded.files,
        documents=specs.documents_read,
        seconds=time.monotonic() - started,
        stream=sys.stdout,
        color=use_color(args),
        valid=(d for key, d in loaded.documents.items() if key not in loaded.stale and not d.derived_from),
    )
    wrong = loaded.diagnostics if args.strict else [d for d in loaded.diagnostics if d.severity == Severity.ERROR]
    return exits.INVALID if wrong else exits.OK
