"""Undoes an unconfirmed change on the management path: brings the links back to what ``pending.json`` says.

Two stages. First the kinds plan the way from now to before, as they plan everything: they know how a bond or a VLAN
is made anew. Then each link that the change touched gets back, fact by fact, what is still different (its master, its
addresses, its mark), and the routes return: that brings the host back also where the kinds object to something, and
to NICs, which no kind describes. It needs netlink only: libvirt may be as unreachable as the host is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from cell_reconciler.converge.confirm import Pending, pending_path, reverting_path
from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import Journal
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.drivers.netlink.routes import Route, has_gateway
from cell_reconciler.errors import CellError, Refused
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.compare import plain
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.actions import DeleteLink
from cell_reconciler.kinds.links.graph import TAP_KINDS
from cell_reconciler.kinds.world import build
from cell_reconciler.model.change import Change, Plan
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import GROUP
from cell_reconciler.planning.order import order

T = TypeVar("T")

_RANK = {"bond": 1, "vlan": 2, "bridge": 3}  # what stands on others comes after them


def revert(state_dir: str | Path, doors: Doors) -> list[str] | None:
    """Undo what is pending. None: nothing was (any more); otherwise what could not be undone, empty when all was.

    Idempotent, and safe beside another process that does the same. What failed stays pending for the next try.
    """
    path = reverting_path(state_dir)
    with _one_at_a_time(state_dir):
        with contextlib.suppress(FileNotFoundError):
            os.rename(pending_path(state_dir), path)
        if not path.exists():
            return None  # confirmed, or reverted by another process
        pending = msgspec.json.decode(path.read_bytes(), type=Pending)
        _by_the_kinds(state_dir, pending, doors, str(path))
        errors = _by_the_facts(pending, doors)
        if not errors:
            path.unlink(missing_ok=True)
        return errors


@contextlib.contextmanager
def _one_at_a_time(state_dir: str | Path) -> Iterator[None]:
    descriptor = os.open(Path(state_dir) / "revert.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# -- by the kinds ------------------------------------------------------------------------------------------------


def _by_the_kinds(state_dir: str | Path, pending: Pending, doors: Doors, file: str) -> None:
    """As far as it goes: what is still different afterwards is put right (or reported) by the facts."""
    try:
        plan = _plan(pending, Live(host=pending.host, links=doors.netlink.observe()["links"]), file)
        with Journal(Path(state_dir) / "revert").open(plan) as journal:
            execute(plan, doors, journal)
    except Exception:  # noqa: BLE001, S110  a bug in a kind must not keep the host cut off: the facts come after it
        pass


def _plan(pending: Pending, live: Live, file: str) -> Plan:
    was = build(pending.host, {}, Live(host=pending.host, links=pending.links))
    documents = {key: doc for key in pending.keys if (doc := _document(key, was, file)) is not None}
    world = build(pending.host, documents, live)
    changes: list[Change] = []
    used: dict[Key, frozenset[Key]] = {}
    for key in pending.keys:
        have = kind(key.kind).observe(key.name, world)
        used[key] = have.refs if have else frozenset()
        if key in documents or have is not None:
            changes.append(kind(key.kind).plan(documents.get(key), have, world))
    refers = {k: [r.target for r in kind(k.kind).references(d, documents)] for k, d in documents.items()}
    steps, edges = order(changes, refers, used)
    return Plan(host=pending.host, changes=tuple(changes), steps=steps, edges=edges)


def _document(key: Key, was: World, file: str) -> Document | None:
    """What would have declared the link as it was: every field is named, so that adopted ones come back too."""
    have = kind(key.kind).observe(key.name, was)
    if have is None:
        return None
    return Document(key=key, spec=have.spec, given={"spec": plain(have.spec)}, position=Position(file, 1))


# -- by the facts ------------------------------------------------------------------------------------------------


def _by_the_facts(pending: Pending, doors: Doors) -> list[str]:
    """Each touched link as it was; the errors."""
    door, names = doors.netlink, set(pending.touched)
    names |= {link.name for link in pending.links.values() if {link.master, link.parent} & pending.touched}
    new = sorted(names - pending.links.keys(), key=len, reverse=True)  # bond0.20 before bond0
    errors: list[str] = []
    for name in new:
        errors += _tried(_disarm, name, door)
    for link in sorted((pending.links[n] for n in names & pending.links.keys()), key=_rank):
        errors += _tried(_restore, link, door)
    for route in _routes(pending.routes, names):
        errors += _tried(_add_route, route, door)
    for name in new:
        errors += _tried(lambda name, _door: _delete(name, doors), name, door)
    return errors


def _delete(name: str, doors: Doors) -> None:
    with contextlib.suppress(Refused):  # not ours, or a VM is plugged in: it is harmless now
        DeleteLink(name=name).do(doors)


def _tried(work: Callable[[T, NetlinkDoor], None], what: T, door: NetlinkDoor) -> list[str]:
    try:
        work(what, door)
    except CellError as error:
        return [error.message]
    return []


def _rank(link: Link) -> tuple[int, str]:
    return _RANK.get(link.kind or "", 0), link.name


def _routes(routes: Iterable[Route], names: set[str]) -> list[Route]:
    """Those through the touched links (and through several), gateways after what leads to them."""
    return sorted((r for r in routes if r.link in names or not r.link), key=has_gateway)


def _add_route(route: Route, door: NetlinkDoor) -> None:
    door.add_route(route)


def _disarm(name: str, door: NetlinkDoor) -> None:
    """A link that was not there before, and is still: it must not have the host's address, nor a place in its path."""
    link = door.link(name)
    if link is None or link.group != GROUP:
        return
    for cidr in link.owned_addresses:
        door.delete_address(name, cidr)
    if link.master is not None:
        door.set_link(name, master=None)


def _restore(was: Link, door: NetlinkDoor) -> None:
    """Idempotent. A tap of another number is another VM's, and what is gone cannot be put right here."""
    link = door.link(was.name)
    if link is None or (was.kind in TAP_KINDS and link.index != was.index):
        return
    if link.master != was.master:
        _back_to_master(was, link, door)
    if link.group != was.group:
        door.set_link(was.name, group=was.group)
    if (link.alias or "") != (was.alias or ""):
        door.set_alias(was.name, was.alias or "")
    if link.mtu != was.mtu:
        door.set_link(was.name, mtu=was.mtu)
    if was.kind in _RANK and link.mac != was.mac and was.master is None:
        door.set_link(was.name, mac=was.mac)
    present = door.link(was.name)
    if present is not None and present.up != was.up:
        door.set_link(was.name, up=was.up)
    _addresses(was, link, door)


def _back_to_master(was: Link, link: Link, door: NetlinkDoor) -> None:
    if link.master is not None:
        door.set_link(was.name, master=None)
    master = door.link(was.master) if was.master else None
    if master is None:
        return
    if master.kind == "bond" and link.up:  # bond_enslave: "Device can not be enslaved while up"
        door.set_link(was.name, up=False)
    door.set_link(was.name, master=master.name)


def _addresses(was: Link, link: Link, door: NetlinkDoor) -> None:
    """All that are gone come back; of those that came, only ours go."""
    for cidr in was.addresses:
        if cidr not in link.addresses:
            door.add_address(was.name, cidr, own=cidr in was.owned_addresses)
    for cidr in link.owned_addresses:
        if cidr not in was.addresses:
            door.delete_address(was.name, cidr)
