"""Bring back the last confirmed network: for the init system, before libvirtd and whatever needs the network.

Needs the kernel and the state directory only: no specs, no libvirt, no storage, no probes. Bonds, VLANs, bridges, their
addresses and routes are made as they were when they were last confirmed; what carries addresses of the host comes
first. Nothing is deleted, and no running VM is cut off. A change that was not confirmed before the host went down is
forgotten. 'cellctl run' then goes on from the specs.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, parse_duration

if TYPE_CHECKING:
    from cell_reconciler.converge.boot import Restored

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.UNREACHABLE, exits.REFUSED)
EXAMPLES = """
  cellctl boot
  cellctl boot --wait 1m
"""
WAIT = 30.0  # seconds for NICs that the kernel or udev still has to bring
_SIGN = {"restored": "+", "unchanged": " ", "refused": "!", "failed": "!"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        metavar="TIME",
        type=parse_duration,
        default=WAIT,
        help="how long to wait for NICs that are not there yet (default 30s)",
    )
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.converge.boot import boot, discard, note
    from cell_reconciler.converge.settle import settle
    from cell_reconciler.drivers import Doors
    from cell_reconciler.errors import CellError

    doors = Doors()
    results: list[Restored] = []
    problem: CellError | None = None
    try:
        with _lock(args.state_dir):
            _refuse_pending(args.state_dir)
            try:
                results = boot(args.state_dir, doors, args.wait, _say)
            except CellError as error:  # a change that the last boot left unfinished says what was before it
                problem = error
            texts = [discard(args.state_dir)] if results else settle(args.state_dir, doors)
            if any(one.result != "unchanged" for one in results):
                note(args.state_dir, "Normal", "NetworkRestored", summary(results))
    finally:
        doors.close()
    _print(args, results, [text for text in texts if text])
    if problem is not None:
        raise problem
    failed = any(one.result == "failed" for one in results)
    return exits.FAILED if failed else exits.REFUSED if any(r.result == "refused" for r in results) else exits.OK


@contextlib.contextmanager
def _lock(state_dir: str) -> Iterator[None]:
    """Of the host; a state directory that cannot be written is no reason to stay without a network."""
    from cell_reconciler.converge.lock import host_lock

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(host_lock(state_dir, "cellctl boot"))
        except OSError as error:
            _say(f"{state_dir} cannot be written: {error.strerror}")
        yield


def _refuse_pending(state_dir: str) -> None:
    """In the boot in which a change was begun, its guard or an operator says what becomes of it.

    A file that cannot be read is no reason to stay without a network.
    """
    from cell_reconciler.converge import pending
    from cell_reconciler.errors import CellError, Refused

    found = None
    with contextlib.suppress(CellError):
        found = pending.current(state_dir) or pending.read(pending.reverting_path(state_dir))
    if found is not None and found.boot == pending.boot_id():
        advice = "cellctl commit keeps it, cellctl rollback undoes it"
        raise Refused(f"a change of {found.what} is not confirmed yet", advice)


def summary(results: list[Restored]) -> str:
    """``3 restored, 1 unchanged, 0 not restored``."""
    counts = {name: sum(one.result == name for one in results) for name in _SIGN}
    missing = counts["refused"] + counts["failed"]
    return f"{counts['restored']} restored, {counts['unchanged']} unchanged, {missing} not restored"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(args: argparse.Namespace, results: list[Restored], texts: list[str]) -> None:
    import msgspec

    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape

    if args.format == "json":
        resources = [{**msgspec.to_builtins(one), "key": str(one.key)} for one in results]
        json.write({"formatVersion": json.FORMAT_VERSION, "resources": resources, "notes": texts}, sys.stdout)
        return
    for text in texts:
        print(escape(text))
    for one in results:
        tail = f": {one.message}" if one.message else f": {one.steps} steps" if one.steps else ""
        print(f"{_SIGN[one.result]} {one.result:<9} {escape(f'{one.key}{tail}')}")
    print(summary(results) if results else "no network was confirmed on this host yet: nothing to bring back")
