"""Fact by fact: every link that a change touched gets back what it had, whatever was done to it and whoever failed.

The order is that of building: what is new lets go first; links that are gone are made again, from below; then masters,
options, addresses; then rules, routes and filters; what is new and ours goes last. Every part is tried, also when
another one failed: an address that is back is worth more than a tidy end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import TypeVar

from cell_reconciler.converge import pending as state
from cell_reconciler.converge.pending import Pending
from cell_reconciler.converge.restore_links import RANK, depth, disarm, remake, restore_link
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.drivers.netlink.routes import has_gateway
from cell_reconciler.errors import CellError, Refused
from cell_reconciler.kinds.bridge.filters import filters
from cell_reconciler.kinds.links.actions import DeleteLink
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.model.live import Link, Live, Route, Rule
from cell_reconciler.model.mark import RTPROT

T = TypeVar("T")


def restore(pending: Pending, doors: Doors) -> list[str]:
    """The errors. Idempotent."""
    before, door = pending.live, doors.netlink
    names = _concerned(pending.touched, before)
    new = sorted(names - before.links.keys(), key=len, reverse=True)  # bond0.20 before bond0
    old = sorted((before.links[n] for n in names & before.links.keys()), key=lambda x: depth(x, before.links))
    errors: list[str] = []
    for name in new:
        errors += _tried(lambda n: disarm(n, door), name)
    for link in old:
        if link.kind in RANK:
            errors += _tried(lambda x: remake(x, door), link)
    for link in old:
        errors += _tried(lambda x: restore_link(x, door), link)
    errors += _vlans(old, door)
    errors += _rules(before.rules, door)
    errors += _routes(pending, names, door)
    errors += _filters(names, before, doors)
    for name in new:
        errors += _tried(lambda n: _delete(n, doors), name)
    return errors


def _concerned(touched: Collection[str], before: Live) -> set[str]:
    """Also what stands on a touched link, and its ports: they lose addresses and routes when it goes down."""
    graph = graph_of(before)
    names = set(touched)
    for name in touched:
        names.update(link.name for link in graph.above(name))
        names.update(port.name for port in graph.ports(name))
    return names


def _tried(work: Callable[[T], None], what: T) -> list[str]:
    try:
        work(what)
    except CellError as error:
        return [error.message]
    return []


def _delete(name: str, doors: Doors) -> None:
    with contextlib.suppress(Refused):  # not ours, or a VM is plugged in: it is harmless now
        DeleteLink(name=name).do(doors)


def _vlans(old: Collection[Link], door: NetlinkDoor) -> list[str]:
    """A port that left its bridge lost its VLANs."""
    now = door.observe()["links"]
    errors: list[str] = []
    for was in old:
        if was.name in now and now[was.name].vlans != was.vlans:
            errors += _tried(lambda x: door.set_vlans(x.name, x.vlans, self_=x.kind == "bridge"), was)
    return errors


def _rules(before: Collection[Rule], door: NetlinkDoor) -> list[str]:
    """All that are gone come back; of those that came, only ours go."""
    now = door.rules()
    errors: list[str] = []
    for rule in before:
        if rule not in now and not rule.detail:
            errors += _tried(door.add_rule, rule)
    for rule in now:
        if rule not in before and rule.protocol == RTPROT and not rule.detail:
            errors += _tried(door.delete_rule, rule)
    return errors


def _routes(pending: Pending, names: set[str], door: NetlinkDoor) -> list[str]:
    """Those through the links concerned (and through several) come back, gateways after what leads to them.

    What came in the place of one of them (it was moved to another link, or has another gateway), and what came and is
    ours, goes before: the kernel has one route for a destination and metric.
    """
    before = set(pending.live.routes)
    lost = {_identity(route) for route in before - set(door.static_routes())}
    errors: list[str] = []
    for route in door.static_routes():
        known = route in before or route.link not in names or route.detail
        if not known and (route.protocol == RTPROT or _identity(route) in lost):
            errors += _tried(door.delete_route, route)
    there = set(door.routes())
    mine = (r for r in pending.routes if (r.link in names or not r.link) and r not in there)
    for saved in sorted(mine, key=has_gateway):
        errors += _tried(door.add_route, saved)
    return errors


def _identity(route: Route) -> tuple[str, int, int]:
    return route.to, route.table, route.metric


def _filters(names: Collection[str], before: Live, doors: Doors) -> list[str]:
    """A filter follows from the name of its bridge, so that its digest tells whether it is there."""
    was = before.filters or {}
    now = state.network(doors, before.host).filters
    if now is None:
        return []  # there is no library for them, so that the change made none either
    errors: list[str] = []
    for name in names:
        if name in was and now.get(name) != was[name]:
            errors += _tried(lambda n: doors.nftables.replace(n, *filters(n)), name)
        elif name in now and name not in was:
            errors += _tried(doors.nftables.delete, name)
    return errors
