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
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from cell_reconciler.drivers.netlink import facts, raw
from cell_reconciler.drivers.netlink import routes as routing
from cell_reconciler.drivers.netlink.transport import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Interrupted,
    KernelError,
    Transport,
)
from cell_reconciler.errors import Refused, StepFailed, Transient, Unreachable
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP, IFA_PROTO

if TYPE_CHECKING:
    from cell_reconciler.drivers.doors import Writes

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
DUMP_TRIES = 5
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

    def observe(self, names: Collection[str] | None = None) -> dict[str, dict[str, Link]]:
        """``{"links": {name: Link}}``: all links, or those of ``names`` that exist; two dumps in either case."""
        with _reachable():
            links = [raw.link(m) for m in self._dump(_wire().link_request(attrs=_NO_STATS), RTM_GETLINK)]
            addresses = self._addresses(0)
        known = {link.index: link.name for link in links}
        wanted = (link for link in links if names is None or link.name in names)
        return {"links": {link.name: facts.read(link, known.get, addresses[link.index]) for link in wanted}}

    def link(self, name: str) -> Link | None:
        """One link by its name proper (not an alternative name); None when there is none."""
        with _reachable():
            link = self._find(name)
            return None if link is None else facts.read(link, _name_of, self._addresses(link.index)[link.index])

    def routes(self) -> tuple[routing.Route, ...]:
        """The routes that people and DHCP clients set, in all tables."""
        with _reachable():
            found = (
                routing.read(message, _name_of)
                for family in routing.FAMILIES
                for message in self._dump(routing.request(family), routing.RTM_GETROUTE)
            )
            return tuple(route for route in found if route is not None)

    # writing

    def create_link(
        self,
        name: str,
        kind: str,
        *,
        mac: str | None = None,
        parent: str | None = None,
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
    ) -> None:
        """Change properties that every link has; ``master=None`` releases it, absent leaves it where it is."""
        attrs: dict[str, Any] = {"mtu": mtu, "address": mac, "group": group}
        attrs = {key: value for key, value in attrs.items() if value is not None}
        with self._writing("set_link", name, f"cannot set {_said(attrs, up, master)} of {name}"):
            if not isinstance(master, UnsetType):
                attrs["master"] = self._index(master) if master else 0
            self._set(name, attrs=attrs, up=up)

    def set_data(self, name: str, kind: str, **data: Any) -> None:
        """Change properties of a kind: ``set_data("bond0", "bond", bond_miimon=100)``."""
        with self._writing("set_data", name, f"cannot set {_said(data)} of {name}"):
            self._set(name, kind=kind, data=facts.numbers(data, self._index))

    def delete_link(self, name: str) -> None:
        """Delete a link, and with it what stands on it. One that is not there is no error."""
        with self._writing("delete_link", name, f"cannot delete {name}"):
            link = self._find(name)
            if link is not None:
                self._transport.request(_wire().link_request(link.index), RTM_DELLINK)

    def add_address(self, name: str, cidr: str, *, own: bool = True) -> None:
        """Add an address, with our IFA_PROTO when it is ours. One that is there already is no error."""
        self._address("add_address", RTM_NEWADDR, name, cidr, (errno.EEXIST,), own=own)

    def delete_address(self, name: str, cidr: str) -> None:
        """Remove an address. One that is not there is no error.

        Without promote_secondaries the kernel removes the other addresses of the same network with the first of them.
        """
        switch = Path("/proc/sys/net/ipv4/conf", name, "promote_secondaries")
        if name != "lo" and switch.exists():
            switch.write_text("1")
        self._address("delete_address", RTM_DELADDR, name, cidr, (errno.EADDRNOTAVAIL, errno.ENODEV))

    def add_route(self, route: routing.Route) -> None:
        """Make a route again as ``routes`` told it. One with the same destination and metric is no error."""
        with self._writing("add_route", route.link, f"cannot make a route through {route.link or 'several links'}"):
            payload = routing.body(route, self._index(route.link) if route.link else 0)
            try:
                self._transport.request(payload, routing.RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL)
            except KernelError as error:
                if error.errno != errno.EEXIST:
                    raise

    def disable_ipv6(self, name: str, disabled: bool = True) -> None:
        """No IPv6 on this link, not even a link-local address; has to be set before the link goes up."""
        with self._writing("disable_ipv6", name, f"cannot set disable_ipv6 of {name}"):
            try:
                facts.ipv6_switch(name).write_text("1" if disabled else "0")
            except FileNotFoundError:  # a kernel without IPv6 has nothing to switch
                self._index(name)

    # helpers

    def _dump(self, payload: bytes, kind: int) -> list[bytes]:
        """A dump that is consistent; the pause grows by the number of tries, since randomness is not needed here."""
        for attempt in range(DUMP_TRIES):
            try:
                return self._transport.dump(payload, kind)
            except Interrupted:
                time.sleep(0.01 * (2**attempt))
        raise Unreachable("netlink", f"the configuration changed during each of {DUMP_TRIES} dumps")

    def _addresses(self, index: int) -> dict[int, list[raw.RawAddress]]:
        """Addresses by the index of their link; of one link when ``index`` is not 0."""
        found: dict[int, list[raw.RawAddress]] = defaultdict(list)
        for message in self._dump(_wire().address_request(index, 0), RTM_GETADDR):
            address = raw.address(message)
            if address is not None:
                found[address.index].append(address)
        return found

    def _find(self, name: str) -> raw.RawLink | None:
        """The link whose name is ``name``; the kernel would also take alternative names."""
        payload = _wire().link_request(attrs={"ifname": name, **_NO_STATS})
        try:
            links = [raw.link(message) for message in self._transport.request(payload, RTM_GETLINK)]
            return next((link for link in links if link.name == name), None)
        except KernelError as error:
            if error.errno in (errno.ENODEV, errno.ERANGE):  # ERANGE: longer than a name can be
                return None
            raise

    def _index(self, name: str) -> int:
        link = self._find(name)
        if link is None:
            raise KernelError(errno.ENODEV, f"there is no link {name}")
        return link.index

    def _set(self, name: str, **request: Any) -> None:
        self._transport.request(_wire().link_request(self._index(name), **request), RTM_NEWLINK)

    def _address(self, call: str, kind: int, name: str, cidr: str, fine: tuple[int, ...], *, own: bool = False) -> None:
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


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None
