"""Addresses, routes and policy rules: reads what somebody set, makes and deletes one at a time."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cell_reconciler.drivers.netlink import raw
from cell_reconciler.drivers.netlink import routes as routing
from cell_reconciler.drivers.netlink import rules as policy
from cell_reconciler.drivers.netlink.line import GONE, Line, reachable, wire
from cell_reconciler.drivers.netlink.transport import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, KernelError
from cell_reconciler.model.live import Route, Rule
from cell_reconciler.model.mark import IFA_PROTO

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22


class Layer3Door(Line):
    """The part of ``NetlinkDoor`` that is about addresses, routes and rules; see there for the errors."""

    # reading

    def static_routes(self) -> tuple[Route, ...]:
        """The routes that people, DHCP clients and we have set, in all tables, sorted."""
        with reachable():
            return tuple(sorted((routing.read(m, self._name_of) for m in self._kept_routes()), key=str))

    def route_to(self, to: str) -> Route | None:
        """The route that counts for a network, also one of a routing daemon. None when a smaller one is before it.

        One question, where a dump would tell all that a daemon has.
        """
        with reachable():
            try:
                told = self._transport.ask(routing.lookup(to), routing.RTM_GETROUTE)
            except KernelError:  # there is none, or it leads nowhere
                return None
            return next((found for m in told if (found := routing.read(m, self._name_of)).to == to), None)

    def routes(self) -> tuple[routing.SavedRoute, ...]:
        """The same as they are in the kernel, to bring them back."""
        with reachable():
            return tuple(routing.save(message, self._name_of) for message in self._kept_routes())

    def carried(self, name: str) -> tuple[routing.SavedRoute, ...]:
        """Every route with a next hop on this link, whoever set it, but for what the kernel makes by itself."""
        with reachable():
            index = self._index_of(name)
            return () if index is None else tuple(routing.save(m, self._name_of) for m in self._routes_through(index))

    def rules(self) -> tuple[Rule, ...]:
        """All policy rules but the three that the kernel has from the start, sorted."""
        with reachable():
            found = (
                policy.read(message, family)
                for family in routing.FAMILIES
                for message in self._dump(policy.request(family), policy.RTM_GETRULE, family)
            )
            return tuple(sorted((rule for rule in found if rule is not None), key=str))

    def ipv6_addresses(self, name: str) -> tuple[bytes, ...]:
        """The global IPv6 addresses of a link as they are in the kernel, to bring them back."""
        with reachable():
            index = self._index_of(name)
            told = self._dump(raw.addresses_of(index, socket.AF_INET6), RTM_GETADDR) if index is not None else []
            return tuple(message for message in told if raw.can_be_lost(message, socket.AF_INET6))

    def tentative(self, name: str) -> tuple[str, ...]:
        """Addresses of a link, without prefix length, that do not count yet: the kernel asks who else has them."""
        with reachable():
            index = self._index_of(name)
            found = self._addresses(index)[index] if index is not None else []
            return tuple(str(address.interface.ip) for address in found if address.flags & raw.IFA_F_TENTATIVE)

    # writing

    def add_address(self, name: str, cidr: str, *, own: bool = True, check: bool = True) -> None:
        """Add an address, with our IFA_PROTO when it is ours. One that is there already is no error.

        ``check`` False: an IPv6 address counts at once, without the second in which the kernel asks whether somebody
        else has it.
        """
        self._address("add_address", RTM_NEWADDR, name, cidr, (errno.EEXIST,), own=own, check=check)

    def return_address(self, name: str, message: bytes) -> None:
        """Add an IPv6 address again as ``ipv6_addresses`` told it. One that is there already is no error."""
        with self._writing("add_address", name, f"cannot bring back an address of {name}"):
            self._tolerant(raw.address_body(message, self._index(name)), RTM_NEWADDR, NLM_F_CREATE, (errno.EEXIST,))

    def delete_address(self, name: str, cidr: str) -> None:
        """Remove an address. One that is not there is no error.

        Without promote_secondaries the kernel removes the other addresses of the same network with the first of them.
        """
        switch = Path("/proc/sys/net/ipv4/conf", name, "promote_secondaries")
        if name != "lo" and switch.exists():
            switch.write_text("1")
        self._address("delete_address", RTM_DELADDR, name, cidr, (errno.EADDRNOTAVAIL, errno.ENODEV))

    def add_route(self, route: routing.SavedRoute, *, beside: bool = False) -> None:
        """Make a route again as ``routes`` told it. One with the same destination and metric is no error.

        ``beside``: of IPv6 also when other links have one of the same destination and metric.
        """
        with self._writing("add_route", route.link, f"cannot make a route through {route.link or 'several links'}"):
            payload = routing.saved_body(route, self._index(route.link) if route.link else 0)
            exclusive = 0 if beside and routing.family_of(route) == socket.AF_INET6 else NLM_F_EXCL
            self._tolerant(payload, routing.RTM_NEWROUTE, NLM_F_CREATE | exclusive, (errno.EEXIST,))

    def set_route(self, route: Route, *, replace: bool = False) -> None:
        """Make a route through ``route.link``. One that is there already is no error.

        ``replace``: instead of the one with the same identity, in one moment. Without it, one of that identity stays
        (IPv4), or both are there (IPv6, where other links may have routes of the same destination and metric).
        """
        name = route.link or ""
        with self._writing("set_route", name, f"cannot set the route to {route.to} through {name}"):
            six = ":" in route.to
            flags = NLM_F_REPLACE if replace else 0 if six else NLM_F_EXCL
            payload = routing.body(route, self._index(name))
            self._tolerant(payload, routing.RTM_NEWROUTE, NLM_F_CREATE | flags, (errno.EEXIST,))

    def delete_route(self, route: Route) -> None:
        """Delete exactly this route, its protocol included. One that is not there is no error."""
        name = route.link or ""
        with self._writing("delete_route", name, f"cannot delete the route to {route.to} through {name}"):
            index = self._index_of(name)
            if index is not None:
                self._tolerant(routing.body(route, index, deleting=True), routing.RTM_DELROUTE, 0, GONE)

    def move_routes(self, name: str, to: str) -> None:
        """Every route of one link (``carried``) leads through another one, in one moment each.

        Those with a gateway come last, since the kernel must know the way to the gateway.
        """
        with self._writing("move_routes", name, f"cannot move the routes of {name} to {to}"):
            old, new = self._index(name), self._index(to)
            moves = [routing.moved(message, old, new) for message in self._routes_through(old)]
            for making, deleting, gateway in sorted(moves, key=lambda move: move[2]):
                # A replacement of the same kind would hit the first IPv6 route without a gateway, whatever its link.
                flags = NLM_F_REPLACE if gateway or making[0] == socket.AF_INET else 0
                self._tolerant(making, routing.RTM_NEWROUTE, NLM_F_CREATE | flags, (errno.EEXIST,))
                self._tolerant(deleting, routing.RTM_DELROUTE, 0, GONE)

    def add_rule(self, rule: Rule) -> None:
        """Add a policy rule. One that is there already is no error."""
        with self._writing("add_rule", "", f"cannot add the rule {rule.priority}"):
            flags = NLM_F_CREATE | NLM_F_EXCL
            self._tolerant(policy.body(rule), policy.RTM_NEWRULE, flags, (errno.EEXIST,))

    def delete_rule(self, rule: Rule) -> None:
        """Delete a policy rule. One that is not there is no error."""
        with self._writing("delete_rule", "", f"cannot delete the rule {rule.priority}"):
            self._tolerant(policy.body(rule), policy.RTM_DELRULE, 0, GONE)

    # helpers

    def _kept_routes(self) -> Iterator[bytes]:
        for family in routing.FAMILIES:
            for protocol in routing.KEPT:
                for message in self._dump(routing.request(family, protocol), routing.RTM_GETROUTE, family):
                    told, found, _, _ = routing.head(message)
                    if (told, found) == (family, protocol) and routing.by_hand(message, family):
                        yield message

    def _routes_through(self, index: int) -> list[bytes]:
        return [
            message
            for family in routing.FAMILIES
            for message in self._dump(routing.request(family, 0, index), routing.RTM_GETROUTE, family)
            if routing.by_hand(message, family) and index in routing.through(message)
        ]

    def _addresses(self, index: int) -> dict[int, list[raw.RawAddress]]:
        """Addresses by the index of their link; of one link when ``index`` is not 0."""
        found: dict[int, list[raw.RawAddress]] = defaultdict(list)
        for message in self._dump(raw.addresses_of(index), RTM_GETADDR):
            address = raw.address(message)
            if address is not None:
                found[address.index].append(address)
        return found

    def _address(
        self,
        call: str,
        kind: int,
        name: str,
        cidr: str,
        fine: tuple[int, ...],
        *,
        own: bool = False,
        check: bool = True,
    ) -> None:
        verb = call.partition("_")[0]
        with self._writing(call, name, f"cannot {verb} {cidr} on {name}"):
            interface = ipaddress.ip_interface(cidr)
            family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
            attrs: dict[str, Any] = {"local": str(interface.ip), "address": str(interface.ip)}
            flags = 0
            if own:
                attrs["proto"] = IFA_PROTO
            if kind == RTM_NEWADDR:
                flags = NLM_F_CREATE | NLM_F_EXCL
                if interface.version == 4 and interface.network.prefixlen < 31:
                    attrs["broadcast"] = str(interface.network.broadcast_address)
                if interface.version == 6 and not check:
                    attrs["flags"] = raw.IFA_F_NODAD
            try:
                payload = wire().address_request(self._index(name), family, interface.network.prefixlen, attrs)
                self._transport.request(payload, kind, flags)
            except KernelError as error:
                if error.errno not in fine:
                    raise
