"""Reads all links, addresses, routes and rules in bulk; makes, changes and deletes links one request at a time."""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from cell_reconciler.drivers.netlink import announce, facts, ports, raw
from cell_reconciler.drivers.netlink.door_layer3 import Layer3Door
from cell_reconciler.drivers.netlink.line import reachable, wire
from cell_reconciler.drivers.netlink.transport import IFNAMSIZ, NLM_F_CREATE, NLM_F_EXCL, KernelError
from cell_reconciler.model.live import Link, Route, Rule, VlanRange
from cell_reconciler.model.mark import GROUP

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19


class Network(TypedDict):
    """One observation, by the names of ``model.live.Live``."""

    links: dict[str, Link]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]


class NetlinkDoor(Layer3Door):
    """The network of the namespace in which it is used. Safe to use from several threads.

    All methods raise ``Unreachable`` when the kernel does not answer. Writing ones also raise ``StepFailed`` (the
    kernel refused; its own text is in the message), ``Transient`` (busy) and ``Refused`` (``lo``).
    """

    # reading

    def observe(self, names: Collection[str] | None = None) -> Network:
        """All links, or those of ``names`` that exist, and all routes and rules that somebody set."""
        with reachable():
            links = [raw.link(m) for m in self._dump(raw.link_by_name(), RTM_GETLINK)]
            addresses = self._addresses(0)
        known = {link.index: link.name for link in links}
        wanted = (link for link in links if names is None or link.name in names)
        found = {link.name: facts.read(link, known.get, addresses[link.index]) for link in wanted}
        return {"links": self._with_vlans(found), "routes": self.static_routes(), "rules": self.rules()}

    def link(self, name: str) -> Link | None:
        """One link by its name proper (not an alternative name); None when there is none."""
        with reachable():
            link = self._find(name)
            return None if link is None else facts.read(link, self._name_of, self._addresses(link.index)[link.index])

    def links(self, names: Iterable[str]) -> dict[str, Link | None]:
        """These links as ``observe`` tells them but for their VLANs, one request each; None for what is not there."""
        return {name: self.link(name) for name in names}

    def ports(self, master: str) -> list[Link]:
        """The members of a bond or the ports of a bridge, in one dump that the kernel filters, without addresses."""
        with reachable():
            index = self._index_of(master)
            if index is None:
                return []
            body = raw.link_by_name() + raw.attribute(raw.IFLA_MASTER, struct.pack("=I", index))
            found = [raw.link(message) for message in self._dump(body, RTM_GETLINK)]
            return [facts.read(link, self._name_of, []) for link in found if link.number(raw.IFLA_MASTER) == index]

    def vlans(self, name: str) -> tuple[VlanRange, ...]:
        """The VLANs of one bridge port, or of a bridge itself; none when there is no such link."""
        with reachable():
            index = self._index_of(name)
            return () if index is None else self._vlans(index).get(index, ())

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
            payload = wire().link_request(attrs=attrs, kind=kind, data=numbers, up=up or None)
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

    def set_active(self, bond: str, member: str, addresses: Mapping[str, Collection[str]]) -> None:
        """Make a member the active one, and tell the switch at once that these addresses, by link, are there now."""
        with announce.ready(addresses) as tell, self._writing("set_data", bond, f"cannot make {member} active"):
            self._set(bond, kind="bond", data=facts.numbers({"bond_active_slave": member}, self._index))
            tell()

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
                self._transport.request(wire().link_request(link.index), RTM_DELLINK)

    def disable_ipv6(self, name: str, disabled: bool = True) -> None:
        """No IPv6 on this link, not even a link-local address; has to be set before the link goes up."""
        with self._writing("disable_ipv6", name, f"cannot set disable_ipv6 of {name}"):
            try:
                facts.ipv6_switch(name).write_text("1" if disabled else "0")
            except FileNotFoundError:  # a kernel without IPv6 has nothing to switch
                self._index(name)

    # helpers

    def _with_vlans(self, links: dict[str, Link]) -> dict[str, Link]:
        """VLANs are asked for only when some bridge filters: a kernel may know none."""
        if not any(link.data.get("br_vlan_filtering") for link in links.values()):
            return links
        with reachable():
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
            links = [raw.link(message) for message in self._transport.ask(payload, RTM_GETLINK)]
            return next((link for link in links if link.name == name), None)
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def _set(self, name: str, **request: Any) -> None:
        self._transport.request(wire().link_request(self._index(name), **request), RTM_NEWLINK)


def _said(values: Mapping[str, Any], up: bool | None = None, master: Any = UNSET) -> str:
    words = [f"{key}={value}" for key, value in values.items()]
    words += [] if up is None else ["up" if up else "down"]
    words += [] if master is UNSET else [f"master={master or 'none'}"]
    return ", ".join(words) or "nothing"
