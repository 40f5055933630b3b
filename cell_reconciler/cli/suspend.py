"""Leave a resource alone: nothing is done to it until it is resumed or the time is over.

What differs is still shown by diff, get and describe. The reason is shown wherever the resource is, so that nobody
has to ask. It takes effect with the next pass of a running 'cellctl run'.
"""

from __future__ import annotations

import argparse
import os
import sys

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, completes, parse_duration

EXITS = (exits.OK, exits.FAILED, exits.USAGE)
EXAMPLES = """
  cellctl suspend vm/web-01 --reason 'INC-123: disk swap' --for 2h
"""


def configure(parser: argparse.ArgumentParser) -> None:
    completes(parser.add_argument("key", metavar="KIND/NAME", help="the resource"), "kind")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; others will read it")
    parser.add_argument(
        "--for",
        dest="time",
        type=parse_duration,
        metavar="TIME",
        help="ends by itself after 30m, 2h, 3d (default: never)",
    )
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.cli.session import moment, open_status, parse_key
    from cell_reconciler.errors import UsageError
    from cell_reconciler.status.records import SuspensionRecord

    if not args.reason.strip():
        raise UsageError("--reason is empty", "say why, so that others know when it may be resumed")
    key = parse_key(args.key)
    store = open_status(args)
    until = moment(args.time) if args.time is not None else ""
    store.suspend(SuspensionRecord(key=key, reason=args.reason.strip(), since=moment(), until=until, by=_who()))
    known = store.get(key) is not None
    if args.format == "json":
        body = {"key": str(key), "suspended": True, "until": until or None, "known": known}
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
        return exits.OK
    print(f"{escape(str(key))} is suspended{f' until {until}' if until else ''}; end it with: cellctl resume {key}")
    if not known:
        print(f"note: no resource {escape(str(key))} is known on this host yet", file=sys.stderr)
    return exits.OK


def _who() -> str:
    """Who asked: the person behind sudo, where there is one."""
    import pwd

    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
