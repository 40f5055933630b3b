"""Undoes an unconfirmed change on the management path: brings the network back to what ``pending.json`` says.

Two stages. First the kinds plan the way from now to before, as they plan everything: they know how a bond or a VLAN
is made anew. Then each link that the change touched gets back, fact by fact, what is still different (``restore``):
that brings the host back also where the kinds object to something, and for what no kind describes. It needs netlink
only: libvirt may be as unreachable as the host is.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cell_reconciler.converge import pending as state
from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import NoJournal
from cell_reconciler.converge.pending import Pending
from cell_reconciler.converge.restore import remove_unfinished, restore
from cell_reconciler.converge.undone import Undone
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.compare import plain
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.world import build
from cell_reconciler.model.change import Change, Plan
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.planning.order import order


def revert(state_dir: str | Path, doors: Doors, *, blame: bool | None = None) -> list[str] | None:
    """Undo what is pending. None: nothing was (any more); otherwise what could not be undone, empty when all was.

    Idempotent, and safe beside another process that does the same. What failed stays pending for the next try.
    ``blame``: the change is remembered as one that was not confirmed; None: if it was made as a whole.
    """
    path = state.reverting_path(state_dir)
    with state.one_at_a_time(state_dir):
        with contextlib.suppress(FileNotFoundError):
            os.rename(state.pending_path(state_dir), path)
        pending = state.read(path)
        if pending is None:
            return None  # confirmed, or reverted by another process
        if pending.made if blame is None else blame:  # first: the watch loop must not make it again meanwhile
            Undone(state_dir).remember(pending.digests)
        errors = undo(pending, doors)
        if not errors:
            path.unlink(missing_ok=True)
        return errors


def revert_known(state_dir: str | Path, known: Pending, doors: Doors, *, blame: bool | None = None) -> list[str] | None:
    """As ``revert``, for who knows the change by itself: a file that is damaged, or a disk that is gone or cannot be
    written, does not keep the host cut off."""
    with contextlib.suppress(OSError, CellError):
        return revert(state_dir, doors, blame=blame)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(state.one_at_a_time(state_dir))
        errors = undo(known, doors)
        if not errors:
            with contextlib.suppress(OSError):
                state.reverting_path(state_dir).unlink(missing_ok=True)
    return errors


def undo_again(state_dir: str | Path, pending: Pending, doors: Doors) -> list[str]:
    """For who was still making steps while another process undid the change: no step is left over. The errors."""
    with state.one_at_a_time(state_dir):
        return undo(pending, doors)


def undo(pending: Pending, doors: Doors) -> list[str]:
    """Both stages; the caller holds the lock. What could not be undone."""
    remove_unfinished(pending, doors)
    _by_the_kinds(pending, doors)
    return restore(pending, doors)


def _by_the_kinds(pending: Pending, doors: Doors) -> None:
    """As far as it goes: what is still different afterwards is put right (or reported) by the facts."""
    try:
        live = state.network(doors, pending.live.host)
        execute(_plan(pending, live), doors, NoJournal())
    except Exception:  # noqa: BLE001, S110  a bug in a kind must not keep the host cut off: the facts come after it
        pass


def _plan(pending: Pending, live: Live) -> Plan:
    """From ``live`` back to before: what was declared and changed, and away with what was not there."""
    host = pending.live.host
    was = build(host, {}, pending.live)
    documents = {key: doc for key in pending.keys if (doc := _document(key, was)) is not None}
    world = build(host, documents, live)
    changes: list[Change] = []
    used: dict[Key, frozenset[Key]] = {}
    for key in pending.keys:
        have = kind(key.kind).observe(key.name, world)
        used[key] = have.refs if have else frozenset()
        if key in documents or have is not None:
            changes.append(kind(key.kind).plan(documents.get(key), have, world))
    refers = {k: [r.target for r in kind(k.kind).references(d, documents)] for k, d in documents.items()}
    steps, edges, soft = order(changes, refers, used)
    return Plan(host=host, changes=tuple(changes), steps=steps, edges=edges, soft=soft)


def _document(key: Key, was: World) -> Document | None:
    """What would have declared the link as it was: every field is named, so that adopted ones come back too."""
    have = kind(key.kind).observe(key.name, was)
    if have is None:
        return None
    return Document(key=key, spec=have.spec, given={"spec": plain(have.spec)}, position=Position("pending.json", 1))
