"""Addresses, routes and policy rules of the fake kernel: what may be set when, and what makes them vanish.

Rules are those of fib_semantics.c, devinet.c, addrconf.c and route.c of Linux 6.1.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cell_reconciler.drivers.netlink.transport import KernelError
from cell_reconciler.model.live import Route, Rule
from tests.fakes.devices import IPV6_MIN_MTU, Address, Device

if TYPE_CHECKING:
    from tests.fakes.kernel import Kernel


class Tables:
    """Static routes and rules; the connected routes follow from the addresses and are nowhere written."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.routes: list[Route] = []
        self.rules: list[Rule] = []

    # addresses

    def add_address(self, device: Device, address: Address) -> None:
        """RTM_NEWADDR with NLM_F_EXCL"""
        mine = ipaddress.ip_interface(address.cidr)
        if mine.version == 6 and (device.ipv6 is None or device.mtu < IPV6_MIN_MTU):
            raise KernelError(errno.EINVAL, "")
        if mine.version == 6 and not device.ipv6:
            raise KernelError(errno.EACCES, "IPv6 is disabled on this device")
        for other in device.addresses:
            theirs = ipaddress.ip_interface(other.cidr)
            # IPv4 has an address once per network, IPv6 once per link.
            if theirs.ip == mine.ip and (mine.version == 6 or theirs.network == mine.network):
                raise KernelError(errno.EEXIST, "")
        device.addresses = sorted([*device.addresses, address])

    def delete_address(self, device: Device, cidr: str) -> None:
        """RTM_DELADDR; promote_secondaries is 1, so the others of its network stay."""
        if ":" in cidr and device.ipv6 is None:
            raise KernelError(errno.ENXIO, "")
        found = [a for a in device.addresses if ipaddress.ip_interface(a.cidr) == ipaddress.ip_interface(cidr)]
        if not found:
            raise KernelError(errno.EADDRNOTAVAIL, "Address not found")
        device.addresses = [a for a in device.addresses if a not in found]
        self._without(device, found[0])

    def _without(self, device: Device, gone: Address) -> None:
        """fib_del_ifaddr: routes that send from the address go; with the last IPv4 address all IPv4 routes do.

        IPv6 keeps a route and forgets its source (fib6_remove_prefsrc).
        """
        ip = str(ipaddress.ip_interface(gone.cidr).ip)
        if gone.version == 6:
            mine = [r for r in self.routes if (r.link, r.source) == (device.name, ip)]
            self.routes = [msgspec.structs.replace(r, source=None) if r in mine else r for r in self.routes]
        elif not self._is_local(ip):
            self.routes = [r for r in self.routes if r.source != ip]
        if gone.version == 4 and not any(a.version == 4 for a in device.addresses):
            self._drop(device, 4)

    def went_down(self, device: Device) -> None:
        """NETDEV_DOWN: nobody is told about the routes. IPv4 addresses stay, those of IPv6 do not."""
        self._drop(device, 4)
        self.no_ipv6(device)

    def no_ipv6(self, device: Device) -> None:
        """addrconf_ifdown"""
        gone = [a for a in device.addresses if a.version == 6]
        device.addresses = [a for a in device.addresses if a.version == 4]
        for address in gone:
            self._without(device, address)
        self._drop(device, 6)

    def gone(self, device: Device) -> None:
        """NETDEV_UNREGISTER; rules that name it stay, and match nothing."""
        addresses, device.addresses = device.addresses, []
        for address in addresses:
            self._without(device, address)
        self._drop(device, 4)
        self._drop(device, 6)

    def _drop(self, device: Device, version: int) -> None:
        self.routes = [r for r in self.routes if r.link != device.name or version_of(r.to) != version]

    # routes

    def set_route(self, route: Route, *, replace: bool = False, exclusive: bool = False) -> None:
        """RTM_NEWROUTE with NLM_F_CREATE; without one of the two flags IPv6 puts another one beside it."""
        self._check(route)
        same = [r for r in self.routes if _key(r) == _key(route)]
        if replace and same:
            like = [r for r in same if bool(r.via) == bool(route.via)] if version_of(route.to) == 6 else same
            old = (like or same)[0]
            self.routes[self.routes.index(old)] = route
            if version_of(route.to) == 6 and old.via:  # with its siblings
                self.routes = [r for r in self.routes if r is route or not (_key(r) == _key(old) and r.via)]
            return
        hops = [(r.link, r.via) for r in same]
        if same and (version_of(route.to) == 4 or exclusive or (route.link, route.via) in hops):
            raise KernelError(errno.EEXIST, "")
        self.routes.append(route)

    def delete_route(self, route: Route) -> None:
        """RTM_DELROUTE; a metric of 0 means any, the lowest first, in whatever order they came."""
        for found in sorted(self.routes, key=lambda found: found.metric):
            same = (found.table, found.to, found.link, found.via, found.protocol) == (
                *(route.table, route.to, route.link, route.via, route.protocol),
            )
            if same and route.metric in (0, found.metric) and route.source in (None, found.source):
                self.routes.remove(found)
                return
        raise KernelError(errno.ESRCH, "")

    def move_routes(self, old: Device, new: Device) -> None:
        """What the door does in one request for each, those with a gateway last."""
        for route in sorted((r for r in self.routes if r.link == old.name), key=lambda r: r.via is not None):
            with _unless_there():
                replace = version_of(route.to) == 4 or route.via is not None
                self.set_route(msgspec.structs.replace(route, link=new.name), replace=replace)
            if route in self.routes:
                self.delete_route(route)

    def shown(self) -> list[Route]:
        """Gateways of one IPv6 destination and metric are one route with several next hops."""
        found: dict[object, Route] = {}
        for number, route in enumerate(self.routes):
            several = version_of(route.to) == 6 and route.via is not None
            key = _key(route) if several else number
            if key in found:
                found[key] = msgspec.structs.replace(found[key], link=None, via=None, detail="several next hops")
            else:
                found[key] = route
        return list(found.values())

    def _check(self, route: Route) -> None:
        """fib_check_nh and ip6_route_check_nh"""
        device = self._kernel.find(route.link or "")
        if version_of(route.to) == 6 and not device.ipv6:
            raise KernelError(errno.EACCES, "IPv6 is disabled on nexthop device")
        if not device.up:
            raise KernelError(errno.ENETDOWN, "Nexthop device is not up")
        if route.via is not None:
            if version_of(route.via) == 6 and self._is_local(route.via):
                raise KernelError(errno.EINVAL, "Nexthop has invalid gateway")
            if not route.onlink and not self._reaches(device, route):
                raise KernelError(errno.ENETUNREACH, "Nexthop has invalid gateway")
        if route.source is not None and not self._is_local(route.source):
            raise KernelError(errno.EINVAL, "Invalid prefsrc address")

    def _reaches(self, device: Device, route: Route) -> bool:
        """Is the gateway on this link, by an address or by a route without a gateway?"""
        via = ipaddress.ip_address(route.via or "")
        if via.version == 6 and via.is_link_local:
            return True
        networks = [ipaddress.ip_interface(a.cidr).network for a in device.addresses]
        direct = [r for r in self.routes if r.link == device.name and r.via is None and r.table in (254, route.table)]
        return any(via in network for network in [*networks, *(ipaddress.ip_network(r.to) for r in direct)])

    def _is_local(self, ip: str) -> bool:
        every = (a.cidr for device in self._kernel.devices.values() for a in device.addresses)
        return any(cidr.partition("/")[0] == ip for cidr in every)

    # rules

    def add_rule(self, rule: Rule) -> None:
        """RTM_NEWRULE with NLM_F_EXCL: the same rule of somebody else is another one."""
        if rule in self.rules:
            raise KernelError(errno.EEXIST, "")
        self.rules.append(rule)

    def delete_rule(self, rule: Rule) -> None:
        if rule not in self.rules:
            raise KernelError(errno.ENOENT, "")
        self.rules.remove(rule)


@contextlib.contextmanager
def _unless_there() -> Iterator[None]:
    try:
        yield
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise


def version_of(text: str) -> int:
    """4 or 6, of an address or a network."""
    return 6 if ":" in text else 4


def _key(route: Route) -> tuple[int, str, int]:
    return route.table, route.to, route.metric
