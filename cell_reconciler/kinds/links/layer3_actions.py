"""What one can do to routes, policy rules and the IPv6 of a link. Each action reads before it writes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink.routes import SavedRoute, has_gateway
from cell_reconciler.errors import CellError, Refused, Transient
from cell_reconciler.kinds.links.actions import LinkAction
from cell_reconciler.kinds.links.layer3_values import collide, identity, said
from cell_reconciler.model.live import Link, Route, Rule
from cell_reconciler.model.protocols import protocol_name

_PATIENCE = 40  # tenths of a second; the kernel asks once, and waits for a second (dad_transmits, retrans_time)
LOOSE_BINDING = 0x4  # VLAN_FLAG_LOOSE_BINDING of if_vlan.h: stays up when the link below goes down


class SetRoute(LinkAction, frozen=True, kw_only=True):
    """Make a route of ours through the link, in place of those of the same identity that are in ``instead``.

    Any other of this identity is somebody else's and stays: then it is refused.
    """

    route: Route
    instead: tuple[Route, ...] = ()

    def done(self, doors: Doors) -> bool:
        found = doors.netlink.static_routes()
        return self.route in found and not any(old in found for old in self.instead)

    def do(self, doors: Doors) -> None:
        door, route = doors.netlink, self.route
        if self.present(doors).ipv6_disabled and ":" in route.to:
            door.disable_ipv6(self.name, False)
        self._await_source(doors)
        same = [r for r in door.static_routes() if identity(r) == identity(route) and r != route]
        for other in same:
            if other not in self.instead and collide(other, route):
                raise Refused(*taken(other))
        old = [r for r in same if r in self.instead]
        if self._replaces(old, same):
            door.set_route(route, replace=True)
        else:
            for other in old:
                if (other.link, other.via) == (route.link, route.via):  # IPv6 takes both for the same
                    door.delete_route(other)
            door.set_route(route)
        found = door.static_routes()
        for other in found:
            if other in old:
                door.delete_route(other)
        if route not in found and (held := door.route_to(route.to)) is not None and identity(held) == identity(route):
            raise Refused(*taken(held))  # by a routing daemon, whose routes nobody looks at otherwise

    def _await_source(self, doors: Doors) -> None:
        """The kernel takes no IPv6 address to send from while it asks whether somebody else has it (RFC 4862)."""
        source = self.route.source
        if source is None or ":" not in source:
            return
        for _ in range(_PATIENCE):
            if source not in doors.netlink.tentative(self.name):
                return
            time.sleep(0.1)
        message = f"{source} does not count yet: the kernel has not found out whether somebody else has it"
        raise Transient(message, f"look whether {self.name} has a carrier")

    def _replaces(self, old: list[Route], same: list[Route]) -> bool:
        """In one moment, where the kernel surely hits the right one: of IPv6 routes it takes the first of its kind."""
        if ":" not in self.route.to:
            return bool(old)
        if self.route.via:
            return any(other.via for other in old)
        return bool(old) and len(same) == 1 and same[0].link == self.route.link


def taken(other: Route) -> tuple[str, str]:
    """What is said when a route of somebody else has the identity of a declared one, and the advice."""
    where = f" through {other.link}" if other.link else f" ({other.detail or other.type})"
    message = f"the route to {said(other)}{where} was set by somebody else (protocol {protocol_name(other.protocol)})"
    return message, "give the declared one another metric, or remove the other one"


class DeleteRoute(LinkAction, frozen=True, kw_only=True):
    """Delete exactly this route."""

    route: Route

    def done(self, doors: Doors) -> bool:
        return self.route not in doors.netlink.static_routes()

    def do(self, doors: Doors) -> None:
        doors.netlink.delete_route(self.route)


class MoveRoutes(LinkAction, frozen=True, kw_only=True):
    """Lead every route of ``from_nic``, whoever set it, through the link: table, metric, source and protocol stay.

    The host must have the same addresses on both links by then, so that the kernel takes gateways and sources.
    """

    from_nic: str

    def done(self, doors: Doors) -> bool:
        return not doors.netlink.carried(self.from_nic)

    def do(self, doors: Doors) -> None:
        doors.netlink.move_routes(self.from_nic, self.name)


class AddRule(LinkAction, frozen=True, kw_only=True):
    """Add a policy rule of ours, which comes and goes with the link."""

    rule: Rule

    def done(self, doors: Doors) -> bool:
        return self.rule in doors.netlink.rules()

    def do(self, doors: Doors) -> None:
        doors.netlink.add_rule(self.rule)


class DeleteRule(LinkAction, frozen=True, kw_only=True):
    """Delete exactly this policy rule."""

    rule: Rule

    def done(self, doors: Doors) -> bool:
        return self.rule not in doors.netlink.rules()

    def do(self, doors: Doors) -> None:
        doors.netlink.delete_rule(self.rule)


class SetIpv6(LinkAction, frozen=True, kw_only=True):
    """IPv6 on the link, or not even a link-local address. A kernel without IPv6 has it off everywhere."""

    on: bool

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and link.ipv6_disabled in (None, not self.on)

    def do(self, doors: Doors) -> None:
        doors.netlink.disable_ipv6(self.name, not self.on)


# what the kernel forgets when a link goes down


def falling(names: Iterable[str], links: Mapping[str, Link]) -> list[str]:
    """These links and the VLANs that go down with them and up again (the kernel's vlan_device_event)."""
    found = list(dict.fromkeys(names))
    for name in found:  # grows
        for link in links.values():
            if link.parent == name and link.kind == "vlan" and link.name not in found and not _loose(link):
                found.append(link.name)
    return found


def _loose(link: Link) -> bool:
    flags = link.data.get("vlan_flags", 0)
    return bool(isinstance(flags, int) and flags & LOOSE_BINDING)


@contextlib.contextmanager
def kept(doors: Doors, names: Iterable[str]) -> Iterator[None]:
    """Take these links down and up inside of it: all routes through them and their IPv6 addresses come back.

    The kernel forgets both without an event (routes of both families, whoever set them, on them and their VLANs).
    Those are brought back as they were, with the time that addresses had to live.
    """
    door = doors.netlink
    down = falling(names, door.observe()["links"])
    addresses = [(name, message) for name in down for message in door.ipv6_addresses(name)]
    routes = sorted(dict.fromkeys(route for name in down for route in door.carried(name)), key=has_gateway)
    try:
        yield
    except BaseException:
        with contextlib.suppress(CellError):
            _bring_back(doors, addresses, routes)
        raise
    _bring_back(doors, addresses, routes)


def _bring_back(doors: Doors, addresses: list[tuple[str, bytes]], routes: list[SavedRoute]) -> None:
    """All that can be; raises the first error after that."""
    errors: list[CellError] = []
    for name, message in addresses:
        try:
            doors.netlink.return_address(name, message)
        except CellError as error:
            errors.append(error)
    for route in routes:
        try:
            doors.netlink.add_route(route, beside=True)
        except CellError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def restore(doors: Doors, routes: Iterable[Route]) -> None:
    """Bring back the routes that ``layer3.lost_with`` told when the plan was made."""
    found = doors.netlink.static_routes()
    for route in sorted(routes, key=lambda route: route.via is not None):
        if route not in found:
            doors.netlink.set_route(route)
