"""The interface of ``NetlinkDoor`` on a ``Kernel`` in memory."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.netlink import routes as routing
from cell_reconciler.drivers.netlink.line import GONE, translated
from cell_reconciler.drivers.netlink.transport import HEADER, KernelError
from cell_reconciler.errors import Refused
from cell_reconciler.model.live import Link, Route, Rule, VlanRange
from cell_reconciler.model.mark import GROUP
from tests.fakes import shown
from tests.fakes.devices import Address
from tests.fakes.kernel import Kernel
from tests.fakes.nft import FakeNftables


class FakeNetlink:
    """See ``NetlinkDoor``: the same methods, the same errors."""

    def __init__(self, kernel: Kernel, writes: Writes) -> None:
        self.kernel = kernel
        self.writes = writes

    def close(self) -> None:
        """Nothing is open."""

    # reading

    def observe(self, names: Collection[str] | None = None) -> dict[str, Any]:
        devices = [d for d in self.kernel.devices.values() if names is None or d.name in names]
        found = {d.name: shown.link(self.kernel, d) for d in devices}
        if any(link.data.get("br_vlan_filtering") for link in found.values()):
            found = {d.name: msgspec.structs.replace(found[d.name], vlans=d.vlans) for d in devices}
        return {"links": found, "routes": self.static_routes(), "rules": self.rules()}

    def link(self, name: str) -> Link | None:
        device = self.kernel.devices.get(name)
        return None if device is None else shown.link(self.kernel, device)

    def links(self, names: Iterable[str]) -> dict[str, Link | None]:
        return {name: self.link(name) for name in names}

    def ports(self, master: str) -> list[Link]:
        links = self.observe()["links"].values()
        return [link for link in links if link.master == master]

    def vlans(self, name: str) -> tuple[VlanRange, ...]:
        device = self.kernel.devices.get(name)
        return () if device is None else device.vlans

    def static_routes(self) -> tuple[Route, ...]:
        shown = self.kernel.layer3.shown()
        return tuple(sorted((r for r in shown if r.protocol in routing.KEPT), key=str))

    def route_to(self, to: str) -> Route | None:
        """Not the kernel's decision, but the best of exactly this destination in the main table."""
        known = [r for r in self.kernel.layer3.shown() if r.to == to and r.table == 254]
        return min(known, key=lambda r: r.metric, default=None)

    def routes(self) -> tuple[routing.SavedRoute, ...]:
        return tuple(self._saved(r) for r in self.kernel.layer3.routes if r.protocol in routing.KEPT)

    def carried(self, name: str) -> tuple[routing.SavedRoute, ...]:
        return tuple(self._saved(r) for r in self.kernel.layer3.routes if r.link == name)

    def rules(self) -> tuple[Rule, ...]:
        return tuple(sorted(self.kernel.layer3.rules, key=str))

    def ipv6_addresses(self, name: str) -> tuple[bytes, ...]:
        device = self.kernel.devices.get(name)
        six = [a for a in device.addresses if a.version == 6] if device else []
        return tuple(f"{a.cidr} {a.origin}".encode() for a in six)

    def tentative(self, name: str) -> tuple[str, ...]:
        """Whether somebody else has an address is known at once."""
        return ()

    # writing

    def create_link(
        self,
        name: str,
        kind: str,
        *,
        mac: str | None = None,
        parent: str | None = None,
        master: str | None = None,
        group: int = GROUP,
        up: bool = False,
        mtu: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        with self._writing("create_link", name):
            self.kernel.create(name, kind, mac, parent, master, group, up, mtu, dict(data or {}))

    def set_alias(self, name: str, alias: str) -> None:
        with self._writing("set_alias", name):
            self.kernel.set_link(name, alias=alias)

    def set_link(
        self,
        name: str,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        mac: str | None = None,
        master: str | UnsetType | None = UNSET,
        group: int | None = None,
        alias: str | None = None,
    ) -> None:
        with self._writing("set_link", name):
            asked: dict[str, Any] = {"up": up, "mtu": mtu, "mac": mac, "group": group, "alias": alias}
            if master is not UNSET:
                asked["master"] = master
            self.kernel.set_link(name, **asked)

    def set_data(self, name: str, kind: str, **data: Any) -> None:
        with self._writing("set_data", name):
            self.kernel.set_data(name, kind, data)

    def set_active(self, bond: str, member: str, addresses: Mapping[str, Collection[str]]) -> None:
        with self._writing("set_data", bond):
            self.kernel.set_data(bond, "bond", {"bond_active_slave": member})

    def set_member(self, name: str, **options: int) -> None:
        with self._writing("set_member", name):
            self.kernel.set_member(name, options)

    def set_port(self, name: str, **options: int) -> None:
        with self._writing("set_port", name):
            self.kernel.set_port(name, options)

    def set_vlans(self, name: str, wanted: tuple[VlanRange, ...], self_: bool = False) -> None:
        with self._writing("set_vlans", name):
            self.kernel.set_vlans(name, wanted, self_)

    def delete_link(self, name: str) -> None:
        with self._writing("delete_link", name):
            if name in self.kernel.devices:
                self.kernel.delete(name)

    def add_address(self, name: str, cidr: str, *, own: bool = True, check: bool = True) -> None:
        with self._writing("add_address", name, errno.EEXIST):
            address = Address(str(ipaddress.ip_interface(cidr)), "ours" if own else "static")
            self.kernel.layer3.add_address(self.kernel.find(name), address)

    def return_address(self, name: str, message: bytes) -> None:
        with self._writing("add_address", name, errno.EEXIST):
            self.kernel.layer3.add_address(self.kernel.find(name), Address(*message.decode().split()))

    def delete_address(self, name: str, cidr: str) -> None:
        with self._writing("delete_address", name, errno.EADDRNOTAVAIL, errno.ENODEV):
            self.kernel.layer3.delete_address(self.kernel.find(name), cidr)

    def add_route(self, route: routing.SavedRoute, *, beside: bool = False) -> None:
        with self._writing("add_route", route.link, errno.EEXIST):
            made = self._restored(route)
            exclusive = not (beside and routing.family_of(route) == socket.AF_INET6)
            self.kernel.layer3.set_route(made, exclusive=exclusive)

    def set_route(self, route: Route, *, replace: bool = False) -> None:
        with self._writing("set_route", route.link or "", errno.EEXIST):
            self.kernel.layer3.set_route(_six(route), replace=replace)

    def delete_route(self, route: Route) -> None:
        with self._writing("delete_route", route.link or "", *GONE):
            self.kernel.find(route.link or "")
            self.kernel.layer3.delete_route(route)

    def move_routes(self, name: str, to: str) -> None:
        with self._writing("move_routes", name):
            self.kernel.layer3.move_routes(self.kernel.find(name), self.kernel.find(to))

    def add_rule(self, rule: Rule) -> None:
        with self._writing("add_rule", "", errno.EEXIST):
            self.kernel.layer3.add_rule(rule)

    def delete_rule(self, rule: Rule) -> None:
        with self._writing("delete_rule", "", *GONE):
            self.kernel.layer3.delete_rule(rule)

    def disable_ipv6(self, name: str, disabled: bool = True) -> None:
        with self._writing("disable_ipv6", name):
            self.kernel.disable_ipv6(name, disabled)

    def _saved(self, route: Route) -> routing.SavedRoute:
        """In the kernel's own bytes, so that whoever takes them apart can."""
        index = self.kernel.find(route.link or "").index
        return routing.save(bytes(HEADER.size) + routing.body(route, index), self._name_of)

    def _restored(self, route: routing.SavedRoute) -> Route:
        body = routing.saved_body(route, self.kernel.find(route.link).index)
        return routing.read(bytes(HEADER.size) + body, self._name_of)

    def _name_of(self, index: int) -> str | None:
        return next((d.name for d in self.kernel.devices.values() if d.index == index), None)

    @contextmanager
    def _writing(self, call: str, name: str, *fine: int) -> Iterator[None]:
        if name == "lo":
            raise Refused("lo belongs to the kernel", "name another link")
        self.writes.add(f"netlink.{call}")
        try:
            yield
        except KernelError as error:
            if error.errno not in fine:
                raise translated(f"cannot {call} {name}", error) from error


def _six(route: Route) -> Route:
    """IP6_RT_PRIO_USER stands for no metric."""
    return msgspec.structs.replace(route, metric=route.metric or 1024) if ":" in route.to else route


class FakeDoors:
    """What an action needs of ``Doors``."""

    def __init__(self, kernel: Kernel) -> None:
        self.writes = Writes()
        self.netlink = FakeNetlink(kernel, self.writes)
        self.nftables = FakeNftables(self.writes)
