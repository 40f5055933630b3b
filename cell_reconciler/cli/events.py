"""What happened on this host: steps made and failed, conditions that changed, specs that were invalid."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, completes, use_color

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.status.records import Event

EXITS = (exits.OK, exits.FAILED, exits.USAGE)
EXAMPLES = """
  cellctl events
  cellctl events --for vm/web-01 --limit 20
  cellctl events --warnings -w
"""


def configure(parser: argparse.ArgumentParser) -> None:
    completes(parser.add_argument("--for", dest="key", metavar="KIND/NAME", help="only of this resource"), "kind")
    parser.add_argument("--warnings", action="store_true", help="only warnings")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="the last N (default 100)")
    parser.add_argument("-w", "--watch", action="store_true", help="go on and print what happens")
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render import json

    found = _read(args)
    if args.format == "json" and not args.watch:
        events = [_plain(event) for event in found]
        json.write({"formatVersion": json.FORMAT_VERSION, "events": events}, sys.stdout)
        return exits.OK
    _print(args, found)
    if not found and not args.watch:
        print("No events.", file=sys.stderr)
    if args.watch:
        _watch(args, found)
    return exits.OK


def _read(args: argparse.Namespace) -> list[Event]:
    from cell_reconciler.cli.session import open_status, parse_key

    key = parse_key(args.key) if args.key else None
    found = open_status(args).events(key, limit=max(args.limit, 0) if not args.warnings else 20_000)
    if args.warnings:
        found = [event for event in found if event.type == "Warning"]
    return found[-args.limit :] if args.limit > 0 else []


def _print(args: argparse.Namespace, events: Sequence[Event]) -> None:
    from cell_reconciler.cli.render.style import Style

    style = Style(use_color(args))
    for event in events:
        if args.format == "json":  # --watch: one document a line
            import msgspec

            sys.stdout.write(msgspec.json.encode(_plain(event)).decode() + "\n")
        else:
            print(line(event, style))
    sys.stdout.flush()


def line(event: Event, style: Style) -> str:
    """``2026-11-24T10:42:07  Warning  StepFailed  Bridge/br0  create bridge br0: …  (3 times)``"""
    from cell_reconciler.cli.render.style import escape

    kind = style.paint(f"{event.type:<7}", "yellow" if event.type == "Warning" else "dim")
    times = f"  ({event.count} times)" if event.count > 1 else ""
    key = escape(str(event.key)) if event.key else "-"
    return f"{escape(event.time[:19])}Z  {kind}  {escape(event.reason)}  {key}  {escape(event.message)}{times}"


def _plain(event: Event) -> dict[str, object]:
    import msgspec

    return {**msgspec.to_builtins(event), "key": str(event.key) if event.key else None}


def _watch(args: argparse.Namespace, before: Sequence[Event]) -> None:
    """Print what is appended, looking twice a second (and reading only what moved), until interrupted."""
    import time

    from cell_reconciler.cli.session import open_status

    path = open_status(args).root / "events.jsonl"
    last, seen = list(before), None
    while True:
        size = path.stat().st_size if path.exists() else None
        if size != seen:
            now = _read(args)
            known = set(map(str, last))
            _print(args, [event for event in now if str(event) not in known])
            last, seen = now, size
        time.sleep(0.5)
