"""How links stand on each other in one observation, and what rides on them."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

import msgspec

from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.model.change import Risk
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import NAMESPACE

TAP_KINDS = frozenset({"tun", "macvtap"})


class Users(msgspec.Struct, frozen=True):
    """What the domains say: who names a bridge, who any other link (``direct``: macvtap), and whose a tap is.

    ``ours`` are domains that carry our mark.
    """

    bridges: dict[str, frozenset[str]]
    direct: dict[str, frozenset[str]]
    taps: dict[str, str]
    ours: frozenset[str]


class Graph:
    """An index over ``Live.links``. Use ``graph_of``, which builds it once for an observation."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._ports: dict[str, list[Link]] = defaultdict(list)
        self._stacked: dict[str, list[Link]] = defaultdict(list)
        for link in live.links.values():
            if link.master:
                self._ports[link.master].append(link)
            if link.parent and link.kind not in (None, "veth"):  # the "parent" of a veth is its peer
                self._stacked[link.parent].append(link)

    def ports(self, name: str) -> list[Link]:
        """Links whose master is this one: members of a bond, ports of a bridge."""
        return self._ports.get(name, [])

    def stacked(self, name: str) -> list[Link]:
        """Links made on top of this one: VLANs, macvlans."""
        return self._stacked.get(name, [])

    @cached_property
    def devices(self) -> dict[Key, Link]:
        """The VLAN device that belongs to a resource of ours, wherever it is."""
        found: dict[Key, Link] = {}
        for link in self._live.links.values():
            owner = owner_of(link) if link.kind == "vlan" else None
            if owner is not None:
                found.setdefault(owner, link)
        return found

    @cached_property
    def tagged(self) -> dict[tuple[str, int], tuple[Link, ...]]:
        """VLAN devices by the link below and the VLAN."""
        found: dict[tuple[str, int], tuple[Link, ...]] = defaultdict(tuple)
        for link in self._live.links.values():
            if link.kind == "vlan" and link.parent and "vlan_id" in link.data:
                found[link.parent, link.data["vlan_id"]] += (link,)
        return dict(found)

    def down_below(self, name: str) -> list[str]:
        """This link and those that it is a VLAN of, as far as they are down; from the bottom up."""
        found: list[str] = []
        link = self._live.links.get(name)
        while link is not None and not link.up:
            found.insert(0, link.name)
            link = self._live.links.get(link.parent or "") if link.kind == "vlan" else None
        return found

    def above(self, name: str) -> list[Link]:
        """Everything that loses its network when this link goes down, nearest first, without the link itself."""
        found: dict[str, Link] = {}
        todo = [name]
        while todo:
            link = self._live.links.get(current := todo.pop(0))
            nearest = [*self.stacked(current)]
            if link and link.master in self._live.links:
                nearest.append(self._live.links[link.master])
            for upper in nearest:
                if upper.name not in found and upper.name != name:
                    found[upper.name] = upper
                    todo.append(upper.name)
        return list(found.values())

    @cached_property
    def users(self) -> Users:
        """Read from the active and the inactive XML of all domains, when it is first asked for."""
        from xml.etree import ElementTree

        bridges: dict[str, set[str]] = defaultdict(set)
        direct: dict[str, set[str]] = defaultdict(set)
        taps: dict[str, str] = {}
        ours: set[str] = set()
        for domain in self._live.domains.values():
            for text in filter(None, (domain.inactive, domain.active)):
                root = ElementTree.fromstring(text)  # libvirt's own output, not a stranger's
                if any(element.tag.startswith(f"{{{NAMESPACE}}}") for element in root.iterfind("metadata/*")):
                    ours.add(domain.name)
                for interface in root.iterfind("devices/interface"):
                    source, target = interface.find("source"), interface.find("target")
                    if source is not None and "bridge" in source.attrib:
                        bridges[source.attrib["bridge"]].add(domain.name)
                    if source is not None and "dev" in source.attrib:
                        direct[source.attrib["dev"]].add(domain.name)
                    if target is not None and text == domain.active and "dev" in target.attrib:
                        taps[target.attrib["dev"]] = domain.name
        return Users(
            {name: frozenset(who) for name, who in bridges.items()},
            {name: frozenset(who) for name, who in direct.items()},
            taps,
            frozenset(ours),
        )

    def cut(self, name: str) -> tuple[Risk, str]:
        """What taking this link down does to others, and why: ``carries 10.0.0.11/24 (br-MGMT)``."""
        link = self._live.links.get(name)
        if link is None:
            return Risk.NONE, ""
        links = [link, *self.above(name)]
        taps = [text for upper in links for text in self._taps(upper)]
        addresses = [f"{address} ({upper.name})" for upper in links for address in host_addresses(upper)]
        why = "carries " + ", ".join(addresses + taps)
        if taps:
            return Risk.CUTS_VM, why
        if addresses:
            return Risk.CUTS_MANAGEMENT, why
        if len(links) > 1:
            return Risk.DISRUPTIVE, "is under " + ", ".join(upper.name for upper in links[1:])
        return Risk.NONE, ""

    def blip(self, name: str) -> tuple[Risk, str]:
        """What a live change of this link does to others: at most some milliseconds of traffic."""
        risk, why = self.cut(name)
        return min(risk, Risk.BLIP), why

    def _taps(self, upper: Link) -> Iterator[str]:
        if upper.kind == "macvtap":
            yield f"{upper.name} of {self.users.taps.get(upper.name, 'a VM')}"
        if upper.kind != "bridge":
            return
        for port in self.ports(upper.name):
            if port.kind in TAP_KINDS:
                vm = self.users.taps.get(port.name)
                yield f"{port.name} of {vm} ({upper.name})" if vm else f"{port.name} ({upper.name})"


def host_addresses(link: Link) -> list[str]:
    """Addresses by which somebody else may reach the host: not the link-local ones."""
    every = (*link.addresses, *link.dynamic_addresses)
    return [text for text in every if not ipaddress.ip_interface(text).ip.is_link_local]


_latest: tuple[Live, Graph] | None = None


def graph_of(live: Live) -> Graph:
    """The graph of an observation; the last one is kept, since a thousand resources ask for the same."""
    global _latest  # noqa: PLW0603  # a memo of one; replaced as a whole, so threads see the old or the new one
    known = _latest
    if known is None or known[0] is not live:
        known = (live, Graph(live))
        _latest = known
    return known[1]
