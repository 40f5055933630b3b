"""Write specs for network and VMs as they are: the way into a host that was set up by hand or by another program.

NICs with addresses or routes, bonds, VLANs, bridges and VMs become documents that name what differs from the defaults.
A disk of a VM is named by its place; with the StoragePools at hand (-f), by its pool and volume.
Each has the annotation cell/adopt, so that apply takes the object over and changes nothing; 'cellctl adopt' writes the
marks once, and then the annotation can go. Objects that are ours are left out, unless --all or their name is given; so
is what belongs to libvirt, Docker and the like, unless it is named.

What no document can say (addresses of DHCP, routes of other protocols, further ports, disks of VMs that are not RAW)
stands as a comment in it and on stderr: nothing is lost silently. Reads only.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_specs, completes
from cell_reconciler.errors import Refused, SpecError, Unreachable, UsageError

if TYPE_CHECKING:
    from cell_reconciler.cli.exported import Export
    from cell_reconciler.model.document import Document
    from cell_reconciler.model.key import Key
    from cell_reconciler.model.live import Live

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.INVALID, exits.UNREACHABLE, exits.REFUSED)
EXAMPLES = """
  cellctl export                              the whole host, to look at
  cellctl export -o specs/                    a file for each object
  cellctl export bond bridge/br0 > net.yaml   some of it
  cellctl export vm > vms.yaml                all VMs
  cellctl export vm -f pools.yaml             all VMs, with their disks as volumes of these StoragePools
  cellctl export Nic/eth0                     also what would be left out, by its name
  cellctl export --live live.json             from a snapshot of another host
"""


def configure(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument(
        "what", nargs="*", metavar="KIND[/NAME]", help="kinds or single objects (default: everything)"
    )
    completes(what, "kind")
    parser.add_argument("--all", action="store_true", help="also objects that are ours already")
    output = parser.add_argument("-o", "--output", metavar="DIR", help="a file for each document (default: to stdout)")
    completes(output, "directory")
    add_specs(parser, "to find the StoragePools of disks")
    completes(parser.add_argument("--live", metavar="FILE", help="a snapshot of 'cellctl observe'"), "file")
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml", help="of the result (default yaml)")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.exported import export, notes
    from cell_reconciler.cli.render.style import escape

    if args.output and args.format != "yaml":
        raise UsageError("-o writes YAML files", "leave out --format, or -o")
    live, pools = _live(args)
    found = export(args.what, live, ours=args.all, pools=pools)
    if args.output:
        _write(found, args.output)
    elif args.format == "json":
        _json(found)
    else:
        sys.stdout.write(_stream(found))
    sys.stdout.flush()
    if not args.quiet:
        for note in notes(found):
            print(f"note: {escape(note)}", file=sys.stderr)
        if not found.documents:
            print("nothing to export", file=sys.stderr)
    return exits.OK


def _live(args: argparse.Namespace) -> tuple[Live, dict[Key, Document]]:
    """The snapshot or the host now, and the StoragePools that are declared.

    Raises Unreachable when what is asked for was not seen, SpecError when the specs are not valid.
    """
    from cell_reconciler.cli.exported import needed
    from cell_reconciler.cli.session import open_engine
    from cell_reconciler.cli.snapshot import read

    with open_engine(args, paths=tuple(getattr(args, "specs", ()))) as engine:
        loaded = engine.load()
        if not loaded.complete:
            raise SpecError("the specs are not valid, so the StoragePools are not known", "run cellctl validate")
        pools = {key: doc for key, doc in loaded.documents.items() if key.kind == "StoragePool"}
        live = read(args.live, args.host) if args.live else engine.observe(pools)
    for source in needed(args.what):
        if (gap := live.gap(source)) is not None:
            raise Unreachable(source.value, gap.reason)
    return live, pools


def _stream(found: Export) -> str:
    from cell_reconciler.cli.exported import apart
    from cell_reconciler.load import write

    rest = [f"  {text}" for text in apart(found)]
    head = write.comment([*_header(found), *(["What no document here is about:", *rest] if rest else [])])
    return head + write.stream(found.text(key) for key in found.documents)


def _header(found: Export) -> list[str]:
    return [
        f"{found.host} as cellctl export found it. Taking it over changes nothing but marks:",
        "  cellctl diff -f FILE && cellctl adopt -f FILE",
    ]


def _json(found: Export) -> None:
    from cell_reconciler.cli.render import json

    body = {
        "host": found.host,
        "documents": list(found.documents.values()),
        "notes": [{"key": str(key), "message": text} for key, texts in found.notes.items() for text in texts],
        "general": found.general,
        "leftOut": [{"key": str(key), "reason": why} for key, why in found.left_out.items()],
    }
    json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)


def _write(found: Export, folder: str) -> None:
    """All files or none: raises Refused when one of them is there already."""
    from pathlib import Path

    from cell_reconciler.load import write

    directory = Path(folder)
    paths = {key: directory / f"{key.kind.lower()}-{key.name}.yaml" for key in found.documents}
    there = [str(path) for path in paths.values() if path.exists()]
    if there:
        raise Refused(f"{there[0]} is there already; nothing was written", "name an empty directory with -o")
    directory.mkdir(parents=True, exist_ok=True)
    for key, path in paths.items():
        path.write_text(write.comment(_header(found)) + found.text(key), encoding="utf-8")
        print(path)
