"""Table of resources: is each Ready, since when, and if not, why.

Answers from what the last apply or run wrote down (--live looks at the host now, and writes nothing). Files that are
invalid follow as file:line:col. Rows can be narrowed by kind or name and by --failed, --drifted, --suspended.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_specs, completes, use_color
from cell_reconciler.errors import CellError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.model.diagnostic import Diagnostic
    from cell_reconciler.model.key import Key
    from cell_reconciler.status.records import ResourceStatus, SuspensionRecord

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.UNREACHABLE)
EXAMPLES = """
  cellctl get                       everything
  cellctl get vm                    one kind
  cellctl get vm/web-01 -o json     one resource
  cellctl get --failed -w           what is not Ready, as it changes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", metavar="KIND[/NAME]", help="a kind or one resource (default: everything)")
    completes(parser._actions[-1], "kind")
    add_specs(parser)
    parser.add_argument(
        "-o", "--output", "--format", choices=("table", "wide", "json"), default="table", help="of the result"
    )
    parser.add_argument("-w", "--watch", action="store_true", help="go on and print what changes")
    parser.add_argument("--failed", action="store_true", help="only what is not Ready")
    parser.add_argument("--drifted", action="store_true", help="only what differs from its spec")
    parser.add_argument("--suspended", action="store_true", help="only what is suspended")
    parser.add_argument("--live", action="store_true", help="look at the host now (needs the specs)")


def run(args: argparse.Namespace) -> int:
    if args.live and args.watch:
        raise UsageError("--live looks once, --watch follows what run writes down", "use one of them")
    rows, diagnostics, suspended = _read(args)
    if args.what and "/" in args.what and not rows and not (args.failed or args.drifted or args.suspended):
        raise CellError(f"{args.what} is not known", "cellctl get lists what is; --live looks at the host now")
    _print(args, rows, diagnostics, suspended)
    if args.watch:
        _watch(args, rows)
    return exits.UNREACHABLE if args.live and any(row.ready == "Unknown" for row in rows) else exits.OK


def _read(
    args: argparse.Namespace,
) -> tuple[list[ResourceStatus], tuple[Diagnostic, ...], dict[Key, SuspensionRecord]]:
    from datetime import UTC, datetime

    from cell_reconciler.cli.session import open_status

    store = open_status(args)
    suspended = store.suspensions(datetime.now(UTC))
    if args.live:
        from cell_reconciler.cli.looking import look

        found, diagnostics = look(args)
    else:
        found, diagnostics = store.resources(), store.diagnostics()
    return [row for row in found if _wanted(args, row, suspended)], diagnostics, suspended


def _wanted(args: argparse.Namespace, row: ResourceStatus, suspended: dict[Key, SuspensionRecord]) -> bool:
    from cell_reconciler.cli.session import parse_key
    from cell_reconciler.kinds import kind_by_alias

    if args.what and "/" in args.what and row.key != parse_key(args.what):
        return False
    if args.what and "/" not in args.what and row.key.kind != kind_by_alias(args.what).name:
        return False
    if args.failed and row.ready == "True":
        return False
    if args.drifted and not row.fields:
        return False
    return not args.suspended or row.key in suspended or row.condition("Suspended") is not None


def _print(
    args: argparse.Namespace,
    rows: Sequence[ResourceStatus],
    diagnostics: Sequence[Diagnostic],
    suspended: dict[Key, SuspensionRecord],
) -> None:
    from cell_reconciler.cli import awaiting
    from cell_reconciler.cli.render import json, text
    from cell_reconciler.cli.render.style import Style, escape

    style = Style(use_color(args))
    if args.output == "json":
        resources = [_plain(row, suspended) for row in rows]
        found = [json.diagnostic(d) for d in diagnostics]
        pending = awaiting.plain(awaiting.read(args.state_dir))
        about = {"asOf": _as_of(rows), "daemon": _daemon(args), "pending": pending}
        body = {**about, "resources": resources, "diagnostics": found}
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
        return
    for line in _lines(args, rows, suspended, style):
        print(line)
    if not args.what:
        print("".join(f"{line}\n" for d in diagnostics for line in text.diagnostic_lines(d, style)), end="")
    if (waiting := awaiting.read(args.state_dir)) is not None:
        print(f"{style.paint('!', 'yellow')} {escape(awaiting.line(waiting))}")
    sys.stdout.flush()
    daemon = _daemon(args)
    if not (args.live or daemon or args.quiet):
        words = f"as of {_as_of(rows)}" if rows else "nothing is known"
        print(f"no cellctl run is at work here: {words}; --live looks now", file=sys.stderr)


def _lines(
    args: argparse.Namespace, rows: Sequence[ResourceStatus], suspended: dict[Key, SuspensionRecord], style: Style
) -> list[str]:
    from cell_reconciler.cli.render.table import table
    from cell_reconciler.kinds import KINDS

    rank = {name: index for index, name in enumerate(KINDS)}
    ordered = sorted(rows, key=lambda row: (rank.get(row.key.kind, len(rank)), row.key))
    header = ["KIND", "NAME", "READY", "REASON", "AGE", "MESSAGE"]
    if args.output == "wide":
        header[5:5] = ["CONDITIONS", "NEXT", "FROM"]
    cells = [_cells(row, suspended.get(row.key), wide=args.output == "wide") for row in ordered]
    if not cells:
        return ["No resources."]
    return list(table(header, cells, style, {"True": "green", "False": "red", "Unknown": "yellow"}))


def _cells(row: ResourceStatus, record: SuspensionRecord | None, *, wide: bool) -> list[str]:
    from cell_reconciler.cli.session import age

    ready = row.condition("Ready")
    since, reason, message = (ready.since, ready.reason, ready.message) if ready else ("", "", "")
    beside = [c for c in row.conditions if c.type != "Ready" and c.status != "False"]
    message = message or "; ".join(f"{c.type}: {c.message}" for c in beside if c.message)
    if record:
        message = f"suspended: {record.reason}" + (f"; {message}" if message else "")
    first = [row.key.kind, row.key.name, row.ready.value, reason, age(since)]
    if not wide:
        return [*first, message if len(message) <= 100 else message[:99] + "…"]
    others = ",".join(c.type for c in beside) or "-"
    return [*first, others, row.next_retry or "-", row.position, message]


def _plain(row: ResourceStatus, suspended: dict[Key, SuspensionRecord]) -> dict[str, object]:
    import msgspec

    record = suspended.get(row.key)
    return {
        **msgspec.to_builtins(row),
        "key": str(row.key),
        "derived_from": [str(key) for key in row.derived_from],
        "suspended": {"reason": record.reason, "until": record.until} if record else None,
    }


def _as_of(rows: Sequence[ResourceStatus]) -> str:
    latest = max((row.time for row in rows), default="")
    return f"{latest[:19]}Z" if latest.endswith("+00:00") else latest


def _daemon(args: argparse.Namespace) -> str | None:
    from cell_reconciler.converge.lock import holder

    return holder(args.state_dir)


def _watch(args: argparse.Namespace, before: Sequence[ResourceStatus]) -> None:
    """Print rows that changed, once a second, until interrupted."""
    import time

    import msgspec

    from cell_reconciler.cli.render.style import Style

    seen = {row.key: msgspec.structs.replace(row, time="") for row in before}
    while True:
        time.sleep(1)
        rows, _, suspended = _read(args)
        now = {row.key: msgspec.structs.replace(row, time="") for row in rows}
        changed = [row for row in rows if seen.get(row.key) != now[row.key]]
        if args.output == "json":
            for row in changed:
                sys.stdout.write(msgspec.json.encode(_plain(row, suspended)).decode() + "\n")
        else:
            for line in _lines(args, changed, suspended, Style(use_color(args)))[1:] if changed else []:
                print(line)
        for key in seen.keys() - now.keys():
            print(f"{key} is gone" if args.output != "json" else f'{{"key": "{key}", "gone": true}}')
        sys.stdout.flush()
        seen = now
