"""Volumes in the trash of their pools: list them, bring them back, or destroy those whose time is over.

'restore' gives a volume its name again, or another one with --as; never over a volume that exists. It is kept then
(reclaimPolicy Retain) until a document says otherwise. 'purge' destroys, after a question, what is ours and past the
time that its document gave it (trashFor), and nothing else. The pools are those of the specs. Works beside 'cellctl
run'.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_specs, use_color
from cell_reconciler.errors import Refused, UsageError

if TYPE_CHECKING:
    from cell_reconciler.converge.engine import Engine
    from cell_reconciler.model.live import Trashed
    from cell_reconciler.model.storage import PoolTarget

    Found = list[tuple[PoolTarget, Trashed]]

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.UNREACHABLE, exits.REFUSED)
EXAMPLES = """
  cellctl trash list
  cellctl trash restore db-data
  cellctl trash restore db-data --as db-data-old
  cellctl trash purge --yes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "restore", "purge"), metavar="list|restore|purge", help="what to do")
    parser.add_argument("volume", nargs="?", metavar="VOLUME", help="its name; needed to restore")
    parser.add_argument("--pool", metavar="NAME", help="only in this StoragePool")
    parser.add_argument("--id", metavar="ID", help="which one, where several of the name lie there")
    parser.add_argument("--as", dest="new", metavar="NAME", help="restore it under another name")
    parser.add_argument("-y", "--yes", action="store_true", help="purge without a question")
    add_specs(parser)
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    if args.action != "restore" and args.new:
        raise UsageError(f"--as has no meaning with {args.action}", "cellctl trash restore VOLUME --as NAME")
    with _opened(args) as (engine, found, silent):
        if args.action == "list":
            _list(args, found, silent)
            return exits.UNREACHABLE if silent else exits.OK
        if args.action == "restore":
            return _restore(args, engine, found, silent)
        return _purge(args, engine, found, silent)


@contextmanager
def _opened(args: argparse.Namespace) -> Iterator[tuple[Engine, Found, dict[str, str]]]:
    """What lies in the trash of the pools that are asked for, newest first, and which pools did not answer."""
    from cell_reconciler.cli.session import open_engine
    from cell_reconciler.drivers.observe import observe
    from cell_reconciler.kinds.world import pool_targets
    from cell_reconciler.model.live import Source

    with open_engine(args) as engine:
        pools = pool_targets(engine.load().documents)
        if args.pool is not None:
            if args.pool not in pools:
                raise UsageError(f"StoragePool/{args.pool} is not declared on this host", f"one of {', '.join(pools)}")
            pools = {args.pool: pools[args.pool]}
        live = observe(engine.doors, engine.options.host, pools, (Source.CEPH, Source.FILES))
        found = [(pools[name], entry) for name in sorted(live.pools) for entry in live.pools[name].trash]
        if args.volume is not None:
            found = [(pool, entry) for pool, entry in found if entry.name == args.volume]
        if args.id is not None:
            found = [(pool, entry) for pool, entry in found if entry.id == args.id]
        yield engine, found, {gap.scope: gap.reason for gap in live.gaps}


def _list(args: argparse.Namespace, found: Found, silent: dict[str, str]) -> None:
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import Style, escape
    from cell_reconciler.cli.render.table import table
    from cell_reconciler.cli.session import age
    from cell_reconciler.model.quantities import Bytes

    if args.format == "json":
        body = {"trash": [_plain(pool, entry) for pool, entry in found], "unreachable": silent}
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
        return
    rows = [
        (
            pool.name,
            entry.name,
            entry.id,
            "?" if entry.size is None else Bytes(entry.size).to_text(),
            age(entry.at),
            _until(entry),
            _owner(entry),
        )
        for pool, entry in found
    ]
    if rows:
        header = ("POOL", "VOLUME", "ID", "SIZE", "AGE", "KEPT UNTIL", "OF")
        for line in table(header, rows, Style(use_color(args)), {}):
            print(line)
    elif not silent:
        print("The trash is empty.", file=sys.stderr)
    for name, reason in silent.items():
        print(f"? StoragePool/{escape(name)} did not answer: {escape(reason)}", file=sys.stderr)


def _plain(pool: PoolTarget, entry: Trashed) -> dict[str, object]:
    return {
        "pool": pool.name,
        "volume": entry.name,
        "id": entry.id,
        "size": entry.size,
        "trashed": entry.at,
        "until": entry.until,
        "expired": _expired(entry),
        "owner": _owner(entry),
    }


def _owner(entry: Trashed) -> str:
    """Whose volume it was, and which host made it."""
    from cell_reconciler.kinds.volume.notes import HOST
    from cell_reconciler.model.mark import Mark

    mark = Mark.parse(entry.mark)
    if mark is None:
        return "not ours"
    return str(mark.owner) + (f" of {entry.notes[HOST]}" if HOST in entry.notes else "")


def _until(entry: Trashed) -> str:
    return "expired" if _expired(entry) else entry.until or "-"


def _expired(entry: Trashed) -> bool:
    from datetime import UTC, datetime

    return bool(entry.until) and datetime.fromisoformat(entry.until) <= datetime.now(UTC)


def _restore(args: argparse.Namespace, engine: Engine, found: Found, silent: dict[str, str]) -> int:
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.kinds.storage_names import is_name
    from cell_reconciler.kinds.volume.notes import restored

    if args.volume is None:
        raise UsageError("which volume?", "cellctl trash restore VOLUME; 'cellctl trash list' shows them")
    name = args.new or args.volume
    if not is_name(name):
        raise UsageError(f"{name!r} cannot be the name of a volume", "letters, digits and _ . - only")
    pool, entry = _one(args, found, silent)
    engine.doors.pool(pool).restore(entry.id, name, restored(entry.notes))
    _tell(engine, "Restored", name, f"volume {entry.name} is back from the trash of {pool.place}, as {name}")
    if args.format == "json":
        json.write({"formatVersion": json.FORMAT_VERSION, "restored": name, "pool": pool.name}, sys.stdout)
        return exits.OK
    ours = name == entry.name and entry.mark is not None
    then = "declare it as it was" if ours else "declare it with the annotation cell/adopt: 'true' to manage it"
    print(f"{escape(name)} is back in {escape(pool.name)}, and is kept; {then}")
    return exits.OK


def _one(args: argparse.Namespace, found: Found, silent: dict[str, str]) -> tuple[PoolTarget, Trashed]:
    """The one that is meant. Raises Refused when there is none, or several."""
    from cell_reconciler.errors import Unreachable

    if not found and silent:
        name, reason = next(iter(silent.items()))
        raise Unreachable(f"StoragePool/{name}", reason)
    if not found:
        raise Refused(f"no {args.volume} lies in the trash", "cellctl trash list shows what does")
    if len(found) > 1:
        which = "; ".join(f"--pool {pool.name} --id {entry.id} (since {entry.at})" for pool, entry in found)
        raise Refused(f"{len(found)} volumes {args.volume} lie in the trash", f"say which: {which}")
    return found[0]


def _purge(args: argparse.Namespace, engine: Engine, found: Found, silent: dict[str, str]) -> int:
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.drivers.pool_record import is_ours_in_trash

    named = args.volume is not None or args.id is not None
    doomed = found if named else [(p, e) for p, e in found if _expired(e) and is_ours_in_trash(e)]
    if named:
        doomed = [_one(args, found, silent)]
    if doomed and not args.yes:
        for pool, entry in doomed:
            print(f"- {escape(pool.name)}/{escape(entry.name)} ({escape(entry.id)})", file=sys.stderr)
        if not sys.stdin.isatty():
            raise Refused("not confirmed; nothing was destroyed", "--yes does not ask")
        print(f"Destroy the data of {len(doomed)}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Refused("not confirmed; nothing was destroyed", "--yes does not ask")
    for pool, entry in doomed:
        engine.doors.pool(pool).purge(entry.id)
        _tell(engine, "Purged", entry.name, f"volume {entry.name} in the trash of {pool.place} is destroyed")
    if args.format == "json":
        body = {"purged": [_plain(pool, entry) for pool, entry in doomed], "unreachable": silent}
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
    else:
        print(f"{len(doomed)} destroyed")
    return exits.UNREACHABLE if silent else exits.OK


def _tell(engine: Engine, reason: str, name: str, message: str) -> None:
    from cell_reconciler.cli.session import moment
    from cell_reconciler.model.key import Key
    from cell_reconciler.status.records import Event

    key = Key("Volume", name)
    engine.status.add_events([Event(time=moment(), type="Normal", reason=reason, message=message, key=key)])
