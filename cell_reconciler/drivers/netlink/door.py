"""Reads all links and addresses in two dumps; makes, changes and deletes links one request at a time."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from cell_reconciler.drivers.netlink import facts, ports, raw
from cell_reconciler.drivers.netlink import routes as routing
from cell_reconciler.drivers.netlink import rules as policy
from cell_reconciler.drivers.netlink.transport import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Interrupted,
    KernelError,
    Transport,
)
from cell_reconciler.errors import Refused, StepFailed, Transient, Unreachable
from cell_reconciler.model.live import Link, Route, Rule, VlanRange
from cell_reconciler.model.mark import GROUP, IFA_PROTO

if TYPE_CHECKING:
    from cell_reconciler.drivers.doors import Writes

class Network(TypedDict):
    """One observation, by the names of ``model.live.Live``."""

    links: dict[str, Link]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]


RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
DUMP_TRIES = 5
_GONE = (errno.ESRCH, errno.ENOENT, errno.ENODEV)  # what is to be deleted is not there
IFNAMSIZ = 16  # with the byte that ends it
_BUSY = (errno.EBUSY, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)


class NetlinkDoor:
    """The network of the namespace in which it is used. Safe to use from several threads.

    All methods raise ``Unreachable`` when the kernel does not answer. Writing ones also raise ``StepFailed`` (the
    kernel refused; its own text is in the message), ``Transient`` (busy) and ``Refused`` (``lo``).
    """

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self._transport = Transport()

    def close(self) -> None:
        self._transport.close()

    # reading

    def observe(self, names: Collection[str] | None = None) -> Network:
        """All links, or those of ``names`` that exist, and all routes and rules that somebody set."""
        with _reachable():
            links = [raw.link(m) for m in self._dump(_wire().link_request(attrs=_NO_STATS), RTM_GETLINK)]
            addresses = self._addresses(0)
        known = {link.index: link.name for link in links}
        wanted = (link for link in links if names is None or link.name in names)
        found = {link.name: facts.read(link, known.get, addresses[link.index]) for link in wanted}
        return {"links": self._with_vlans(found), "routes": self.static_routes(), "rules": self.rules()}

    def link(self, name: str) -> Link | None:
        """One link by its name proper (not an alternative name); None when there is none."""
        with _reachable():
            link = self._find(name)
            return None if link is None else facts.read(link, _name_of, self._addresses(link.index)[link.index])

    def vlans(self, name: str) -> tuple[VlanRange, ...]:
        """The VLANs of one bridge port, or of a bridge itself; none when there is no such link."""
        with _reachable():
            index = _index_of(name)
            return () if index is None else self._vlans(index).get(index, ())

    def static_routes(self) -> tuple[Route, ...]:
        """The routes that people, DHCP clients and we have set, in all tables, sorted."""
        with _reachable():
            return tuple(sorted((routing.read(m, _name_of) for m in self._kept_routes()), key=str))

    def routes(self) -> tuple[routing.SavedRoute, ...]:
        """The same as they are in the kernel, to bring them back."""
        with _reachable():
            return tuple(routing.save(message, _name_of) for message in self._kept_routes())

    def carried(self, name: str) -> tuple[routing.SavedRoute, ...]:
        """Every route with a next hop on this link, whoever set it, but for what the kernel makes by itself."""
        with _reachable():
            index = _index_of(name)
            return () if index is None else tuple(routing.save(m, _name_of) for m in self._routes_through(index))

    def rules(self) -> tuple[Rule, ...]:
        """All policy rules but the three that the kernel has from the start, sorted."""
        with _reachable():
            found = (
                policy.read(message, family)
                for family in routing.FAMILIES
                for message in self._dump(policy.request(family), policy.RTM_GETRULE, family)
            )
            return tuple(sorted((rule for rule in found if rule is not None), key=str))

    def ipv6_addresses(self, name: str) -> tuple[bytes, ...]:
        """The global IPv6 addresses of a link as they are in the kernel, to bring them back."""
        with _reachable():
            index = _index_of(name)
            told = self._dump(raw.addresses_of(index, socket.AF_INET6), RTM_GETADDR) if index is not None else []
            return tuple(message for message in told if raw.can_be_lost(message, socket.AF_INET6))

    def tentative(self, name: str) -> tuple[str, ...]:
        """Addresses of a link, without prefix length, that do not count yet: the kernel asks who else has them."""
        with _reachable():
            index = _index_of(name)
            found = self._addresses(index)[index] if index is not None else []
            return tuple(str(address.interface.ip) for address in found if address.flags & raw.IFA_F_TENTATIVE)

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
        """Make a link; ``group`` is set in the same request, so that it is ours from the first moment.

        ``data`` by the kernel's names (``{"bond_mode": "802.3ad"}``). An alias is ignored by the kernel here.
        """
        attrs: dict[str, Any] = {"ifname": name, "group": group}
        with self._writing("create_link", name, f"cannot create the {kind} {name}"):
            if mac is not None:
                attrs["address"] = mac
            if mtu is not None:
                attrs["mtu"] = mtu
            if parent is not None:
                attrs["link"] = self._index(parent)
            if master is not None:
                attrs["master"] = self._index(master)
            numbers = facts.numbers(dict(data or {}), self._index)
            payload = _wire().link_request(attrs=attrs, kind=kind, data=numbers, up=up or None)
            self._transport.request(payload, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL)

    def set_alias(self, name: str, alias: str) -> None:
        """The text of IFLA_IFALIAS, at most 255 bytes; the empty text removes it."""
        with self._writing("set_alias", name, f"cannot set the alias of {name}"):
            self._set(name, attrs={"ifalias": alias})

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
        """Change properties that every link has; ``master=None`` releases it, absent leaves it where it is.

        The kernel does it in this order: address, MTU, group, alias, master, and up or down last (do_setlink).
        """
        attrs: dict[str, Any] = {"mtu": mtu, "address": mac, "group": group, "ifalias": alias}
        attrs = {key: value for key, value in attrs.items() if value is not None}
        with self._writing("set_link", name, f"cannot set {_said(attrs, up, master)} of {name}"):
            if not isinstance(master, UnsetType):
                attrs["master"] = self._index(master) if master else 0
            self._set(name, attrs=attrs, up=up)

    def set_data(self, name: str, kind: str, **data: Any) -> None:
        """Change properties of a kind: ``set_data("bond0", "bond", bond_miimon=100)``."""
        with self._writing("set_data", name, f"cannot set {_said(data)} of {name}"):
            self._set(name, kind=kind, data=facts.numbers(data, self._index))

    def set_member(self, name: str, **options: int) -> None:
        """Change options that a link has as a member of a bond: ``set_member("eno1", bond_slave_prio=5)``."""
        with self._writing("set_member", name, f"cannot set {_said(options)} of the member {name}"):
            self._set(name, member=options)

    def set_port(self, name: str, **options: int) -> None:
        """Change options of a bridge port: ``set_port("vnet0", brport_isolated=1)``."""
        with self._writing("set_port", name, f"cannot set {_said(options)} of the port {name}"):
            self._transport.request(ports.request(self._index(name), options), RTM_NEWLINK)

    def set_vlans(self, name: str, wanted: tuple[VlanRange, ...], self_: bool = False) -> None:
        """Let a bridge port carry these VLANs and no others; ``self_``: the link is the bridge itself."""
        with self._writing("set_vlans", name, f"cannot set the VLANs of {name}"):
            index = self._index(name)
            put, remove = ports.vlan_changes(self._vlans(index).get(index, ()), wanted)
            for kind, ranges in ((RTM_SETLINK, put), (RTM_DELLINK, remove)):
                if ranges:
                    self._transport.request(ports.vlan_request(index, ranges, self_=self_), kind)

    def delete_link(self, name: str) -> None:
        """Delete a link, and with it what stands on it. One that is not there is no error."""
        with self._writing("delete_link", name, f"cannot delete {name}"):
            link = self._find(name)
            if link is not None:
                self._transport.request(_wire().link_request(link.index), RTM_DELLINK)

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
            payload = routing.body(route, self._index(name), deleting=True)
            self._tolerant(payload, routing.RTM_DELROUTE, 0, _GONE)

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
                self._tolerant(deleting, routing.RTM_DELROUTE, 0, _GONE)

    def add_rule(self, rule: Rule) -> None:
        """Add a policy rule. One that is there already is no error."""
        with self._writing("add_rule", "", f"cannot add the rule {rule.priority}"):
            flags = NLM_F_CREATE | NLM_F_EXCL
            self._tolerant(policy.body(rule), policy.RTM_NEWRULE, flags, (errno.EEXIST,))

    def delete_rule(self, rule: Rule) -> None:
        """Delete a policy rule. One that is not there is no error."""
        with self._writing("delete_rule", "", f"cannot delete the rule {rule.priority}"):
            self._tolerant(policy.body(rule), policy.RTM_DELRULE, 0, _GONE)

    def disable_ipv6(self, name: str, disabled: bool = True) -> None:
        """No IPv6 on this link, not even a link-local address; has to be set before the link goes up."""
        with self._writing("disable_ipv6", name, f"cannot set disable_ipv6 of {name}"):
            try:
                facts.ipv6_switch(name).write_text("1" if disabled else "0")
            except FileNotFoundError:  # a kernel without IPv6 has nothing to switch
                self._index(name)

    # helpers

    def _dump(self, payload: bytes, kind: int, family: int = 0) -> list[bytes]:
        """A dump that is consistent; the pause grows by the number of tries, since randomness is not needed here.

        ``family``: the one that is asked for; a kernel without IPv6 has nothing of it.
        """
        for attempt in range(DUMP_TRIES):
            try:
                return self._transport.dump(payload, kind)
            except Interrupted:
                time.sleep(0.01 * (2**attempt))
            except KernelError as error:
                if family != socket.AF_INET6 or error.errno not in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
                    raise
                return []
        raise Unreachable("netlink", f"the configuration changed during each of {DUMP_TRIES} dumps")

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

    def _tolerant(self, payload: bytes, kind: int, flags: int, fine: tuple[int, ...]) -> None:
        """A request of which some errors say that there is nothing to do."""
        try:
            self._transport.request(payload, kind, flags)
        except KernelError as error:
            if error.errno not in fine:
                raise

    def _addresses(self, index: int) -> dict[int, list[raw.RawAddress]]:
        """Addresses by the index of their link; of one link when ``index`` is not 0."""
        found: dict[int, list[raw.RawAddress]] = defaultdict(list)
        for message in self._dump(raw.addresses_of(index), RTM_GETADDR):
            address = raw.address(message)
            if address is not None:
                found[address.index].append(address)
        return found

    def _with_vlans(self, links: dict[str, Link]) -> dict[str, Link]:
        """VLANs are asked for only when some bridge filters: a kernel may know none."""
        if not any(link.data.get("br_vlan_filtering") for link in links.values()):
            return links
        with _reachable():
            found = self._vlans(0)
        with_vlans = (link for link in links.values() if link.index in found)
        return links | {x.name: msgspec.structs.replace(x, vlans=found[x.index]) for x in with_vlans}

    def _vlans(self, index: int) -> dict[int, tuple[VlanRange, ...]]:
        return ports.read_vlans(self._dump(ports.vlan_dump(index), ports.RTM_GETVLAN))

    def _find(self, name: str) -> raw.RawLink | None:
        """The link whose name is ``name``; the kernel would also take alternative names."""
        if not 0 < len(name.encode()) < IFNAMSIZ:
            return None
        payload = raw.link_by_name(name)
        try:
            links = [raw.link(message) for message in self._transport.request(payload, RTM_GETLINK)]
            return next((link for link in links if link.name == name), None)
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def _index(self, name: str) -> int:
        index = _index_of(name)
        if index is None:
            raise KernelError(errno.ENODEV, f"there is no link {name}")
        return index

    def _set(self, name: str, **request: Any) -> None:
        self._transport.request(_wire().link_request(self._index(name), **request), RTM_NEWLINK)

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
                payload = _wire().address_request(self._index(name), family, interface.network.prefixlen, attrs)
                self._transport.request(payload, kind, flags)
            except KernelError as error:
                if error.errno not in fine:
                    raise

    @contextmanager
    def _writing(self, call: str, name: str, failure: str) -> Iterator[None]:
        """Counts a writing call and turns the kernel's errors into ours."""
        if name == "lo":
            raise Refused(f"{failure}: lo belongs to the kernel", "name another link")
        self.writes.add(f"netlink.{call}")
        with _reachable():
            try:
                yield
            except KernelError as error:
                raise _translated(failure, error) from error
            except PermissionError as error:  # of the sysctl
                raise _translated(failure, KernelError(errno.EPERM, "")) from error
            except KeyError as error:
                raise StepFailed(f"{failure}: {error.args[0]}", "this is an error of the reconciler") from error


_NO_STATS = {"ext_mask": 8}  # RTEXT_FILTER_SKIP_STATS: counters are a third of a dump, and nobody reads them


def _wire() -> ModuleType:
    """pyroute2 costs 0.3 s to import, so it is when the first request is made."""
    from cell_reconciler.drivers.netlink import wire

    return wire


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreachable("netlink", str(error) or type(error).__name__) from error
    except KernelError as error:
        raise Unreachable("netlink", str(error)) from error


def _translated(failure: str, error: KernelError) -> Exception:
    code = errno.errorcode.get(error.errno, str(error.errno))
    message = f"{failure}: {error} ({code})"
    if error.errno in _BUSY:
        return Transient(message, "it is in use; it will be tried again")
    if error.errno in (errno.EPERM, errno.EACCES):
        return StepFailed(message, "run it as root, or with CAP_NET_ADMIN")
    if error.errno == errno.EOPNOTSUPP:
        return StepFailed(message, "the running kernel lacks this kind of link: load or build its module")
    return StepFailed(message)


def _said(values: Mapping[str, Any], up: bool | None = None, master: Any = UNSET) -> str:
    words = [f"{key}={value}" for key, value in values.items()]
    words += [] if up is None else ["up" if up else "down"]
    words += [] if master is UNSET else [f"master={master or 'none'}"]
    return ", ".join(words) or "nothing"


def _index_of(name: str) -> int | None:
    """By name proper: the kernel would also take alternative names."""
    try:
        index = socket.if_nametoindex(name)
        return index if socket.if_indextoname(index) == name else None
    except OSError:
        return None


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None
