"""Fact by fact: every link that a change touched gets back what it had, whatever was done to it and whoever failed.

The order is that of building: packet filters first, so that no bridge is up without its own; what is new lets go;
links that are gone are made again, from below; then masters, options, addresses; then rules and routes; what is new
and ours goes last, and its filter after it. Every part is tried, also when another one failed: an address that is back
is worth more than a tidy end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any

from cell_reconciler.converge.pending import Before
from cell_reconciler.converge.restore_links import RANK, depth, disarm, remake, restore_link
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.drivers.netlink.routes import has_gateway
from cell_reconciler.errors import CellError, Refused
from cell_reconciler.kinds.bridge.filters import filters
from cell_reconciler.kinds.links.actions import DeleteLink
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.model.live import Link, Live, Route, Rule
from cell_reconciler.model.mark import GROUP, RTPROT


def restore(to: Before, doors: Doors) -> list[str]:
    """The errors. Idempotent."""
    before, door = to.live, doors.netlink
    names = _concerned(to.touched, before)
    new = sorted(names - before.links.keys(), key=len, reverse=True)  # bond0.20 before bond0
    old = sorted((before.links[n] for n in names & before.links.keys()), key=lambda x: depth(x, before.links))
    errors = _tried(_filters_back, names, before, doors)
    for name in new:
        errors += _tried(disarm, name, door)
    for link in old:
        if link.kind in RANK:
            errors += _tried(remake, link, door)
    for link in old:
        errors += _tried(restore_link, link, door)
    errors += _tried(_vlans, old, door)
    errors += _tried(_rules, before.rules, door)
    errors += _tried(_routes, to, names, door)
    for name in new:
        errors += _tried(_delete, name, doors)
    errors += _tried(_filters_gone, names, before, doors)
    return errors


def remove_unfinished(to: Before, doors: Doors) -> None:
    """Links whose creation was cut short: without an alias the kinds would take them for somebody else's, and leave
    them. What fails is tried again by ``restore``."""
    for name in sorted(to.touched - to.live.links.keys()):
        with contextlib.suppress(CellError):
            link = doors.netlink.link(name)
            if link is not None and link.group == GROUP and not link.alias:
                DeleteLink(name=name, port_of=link.master).do(doors)


def _concerned(touched: Collection[str], before: Live) -> set[str]:
    """Also what stands on a touched link, and its ports: they lose addresses and routes when it goes down."""
    graph = graph_of(before)
    names = set(touched)
    for name in touched:
        names.update(link.name for link in graph.above(name))
        names.update(port.name for port in graph.ports(name))
    return names


def _tried(work: Callable[..., list[str] | None], *what: Any) -> list[str]:
    """The errors of one part, also of one that came unexpected: a bug in a part must not keep the host cut off."""
    try:
        return work(*what) or []
    except CellError as error:
        return [error.message]
    except Exception as error:  # noqa: BLE001
        return [f"{type(error).__name__}: {error}"]


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


def _routes(to: Before, names: set[str], door: NetlinkDoor) -> list[str]:
    """Those through the links concerned (and through several) come back, gateways after what leads to them.

    What came in the place of one of them (it was moved to another link, or has another gateway), and what came and is
    ours, goes before: the kernel has one route for a destination and metric.
    """
    before = set(to.live.routes)
    lost = {_identity(route) for route in before - set(door.static_routes())}
    errors: list[str] = []
    for route in door.static_routes():
        known = route in before or route.link not in names or route.detail
        if not known and (route.protocol == RTPROT or _identity(route) in lost):
            errors += _tried(door.delete_route, route)
    there = set(door.routes())
    mine = (r for r in to.routes if (r.link in names or not r.link) and r not in there)
    for saved in sorted(mine, key=has_gateway):
        errors += _tried(door.add_route, saved)
    return errors


def _identity(route: Route) -> tuple[str, int, int]:
    return route.to, route.table, route.metric


def _filters_back(names: Collection[str], before: Live, doors: Doors) -> list[str]:
    """A filter follows from the name of its bridge, so that its digest tells whether it is there."""
    was = before.filters or {}
    wanted = [name for name in sorted(names) if name in was]
    now = doors.nftables.observe()["filters"] if wanted else {}
    errors: list[str] = []
    for name in wanted:
        if now.get(name) != was[name]:
            errors += _tried(doors.nftables.replace, name, *filters(name))
    return errors


def _filters_gone(names: Collection[str], before: Live, doors: Doors) -> list[str]:
    """Those that came with the change; that of a new bridge which had to stay (a VM is plugged in) stays with it."""
    if before.filters is None:
        return []  # there was no library for them, so that the change made none either
    stay = doors.netlink.observe(names)["links"].keys() - before.links.keys()
    errors: list[str] = []
    for name in sorted(doors.nftables.observe()["filters"].keys() & names - before.filters.keys() - stay):
        errors += _tried(doors.nftables.delete, name)
    return errors
