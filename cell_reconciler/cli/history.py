"""What was done when, by whom, from which specs: one entry for each pass that changed something, or tried to."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, completes, use_color

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.status.records import HistoryEntry

EXITS = (exits.OK, exits.FAILED, exits.USAGE)
EXAMPLES = """
  cellctl history
  cellctl history vm/web-01 -v      with every step
"""


def configure(parser: argparse.ArgumentParser) -> None:
    completes(
        parser.add_argument("key", nargs="?", metavar="KIND/NAME", help="only passes about this resource"), "kind"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="the last N (default 20)")
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.cli.session import open_status, parse_key

    key = parse_key(args.key) if args.key else None
    found = open_status(args).history(key, limit=max(args.limit, 0))
    if args.format == "json":
        import msgspec

        passes = [msgspec.to_builtins(entry) for entry in found]
        json.write({"formatVersion": json.FORMAT_VERSION, "history": passes}, sys.stdout)
        return exits.OK
    for entry in found:
        for text in _lines(entry, str(key) if key else None, Style(use_color(args)), verbose=bool(args.verbose or key)):
            print(text)
    if not found:
        print("No history.", file=sys.stderr)
    return exits.OK


def _lines(entry: HistoryEntry, key: str | None, style: Style, *, verbose: bool) -> Iterator[str]:
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.cli.render.text import count

    results = [step.get("result") for step in entry.steps]
    words = ", ".join(f"{results.count(r)} {r}" for r in ("done", "skipped", "failed", "blocked") if r in results)
    specs = escape(entry.specs_digest.removeprefix("sha256:")[:7])
    head = f"{escape(entry.time[:19])}Z  {escape(entry.by)}  specs {specs}  {escape(entry.reconcile_id)}"
    calls = count(sum(entry.writes.values()), "writing call")
    yield f"{style.paint(head, 'bold')}  {words or 'nothing to do'}; {calls}"
    for step in entry.steps:
        if (verbose or step.get("result") == "failed") and key in (None, step.get("key")):
            error = f": {step['error']}" if step.get("error") else ""
            yield escape(f"    {step.get('result', ''):<8} {step.get('text', '')}{error}")
