"""What a plan did to things that are not ours: two observations, before and after, held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Link, Live, Route
from cell_reconciler.model.mark import GROUP, RTPROT


def violations(before: Live, after: Live, documents: Iterable[Document]) -> list[str]:
    """One line for everything of others that is gone or was changed."""
    judge = _Judge(before, after, list(documents))
    return [*judge.links(), *judge.addresses(), *judge.routes(), *judge.rules()]


class _Judge:
    """``named``: links that documents say something about; ``moved``: NICs whose network a bridge takes over."""

    def __init__(self, before: Live, after: Live, documents: list[Document]) -> None:
        self.before, self.after = before, after
        self.adopted = {doc.key.name for doc in documents if doc.adopts}
        self.named: set[str] = set()
        self.moved: set[str] = set()
        self.without: set[str] = set()  # links that are told to have no IPv6, or to be down
        for doc in documents:
            spec = doc.spec
            self.named |= {doc.key.name} if doc.key.kind == "Nic" else set()
            self.named |= set(getattr(spec, "members", ()))
            self.without |= {doc.key.name} if spec.ipv6 is False or _down(spec) else set()
            below = (getattr(spec, "uplink", UNSET), getattr(spec, "parent", UNSET))
            self.named |= {str(name) for name in below if name is not UNSET}
            if doc.key.kind == "Bridge" and spec.uplink is not UNSET and spec.vlan is UNSET:
                self.moved.add(spec.uplink)

        self.below = {lower for name in self.named for lower in self._parents(name)}

    def _parents(self, name: str) -> Iterator[str]:
        link = self.before.links.get(name)
        while link is not None and link.kind == "vlan" and link.parent is not None:
            yield link.parent
            link = self.before.links.get(link.parent)

    def ours(self, link: Link | None) -> bool:
        """Made by us, or given to us by a document."""
        return link is not None and (link.group == GROUP or link.name in self.adopted)

    def in_our_bond(self, link: Link) -> bool:
        """A bond's members are wholly ours to say."""
        master = self.before.links.get(link.master or "")
        return master is not None and master.kind == "bond" and self.ours(master)

    def links(self) -> Iterator[str]:
        for name, was in self.before.links.items():
            if self.ours(was):
                continue
            now = self.after.links.get(name)
            if now is None:
                yield f"{name} is gone"
            elif now.index != was.index:
                yield f"{name} was made anew"
            elif name not in self.named and not self.in_our_bond(was):
                different = [field for field in _FACTS if getattr(now, field) != getattr(was, field)]
                # What stands on a link goes with it: VLANs follow their parent, by the kernel's own doing.
                follows = was.kind == "vlan" and self.may_change(was.parent)
                if name in self.below and now.up:  # a VLAN is brought up with all that it stands on
                    different = [field for field in different if field != "up"]
                different = [field for field in different if not (follows and field in ("up", "mtu", "mac"))]
                if self.has_changing_port(was):  # whose smallest MTU and lowest address a bridge takes, until told
                    different = [field for field in different if field not in ("mtu", "mac")]
                if different:
                    yield f"{name}: {_said(was, now, different)}"

    def has_changing_port(self, link: Link) -> bool:
        ports = [x.name for x in self.before.links.values() if x.master == link.name]
        return link.kind == "bridge" and any(self.may_change(port) for port in ports)

    def may_change(self, name: str | None) -> bool:
        """Has this link, or what it stands on, anything to do with the documents?"""
        link = self.before.links.get(name or "")
        if link is None:
            return False
        return self.ours(link) or link.name in self.named or self.in_our_bond(link) or self.may_change(link.parent)

    def addresses(self) -> Iterator[str]:
        everywhere = {a for link in self.after.links.values() for a in (*link.addresses, *link.dynamic_addresses)}
        for name, was in self.before.links.items():
            now = self.after.links.get(name)
            theirs = {*was.addresses, *was.dynamic_addresses} - set(was.owned_addresses)
            left = {*now.addresses, *now.dynamic_addresses} if now is not None else set()
            for cidr in sorted(theirs - left):
                if not (name in self.moved and cidr in everywhere) and not (name in self.without and ":" in cidr):
                    yield f"{cidr} of {name} is gone"

    def routes(self) -> Iterator[str]:
        for route in self.before.routes:
            if route.protocol == RTPROT or route in self.after.routes:
                continue
            if route.link in self.without and (":" in route.to or not self.after.links[route.link].up):
                continue
            if route.link in self.moved and _elsewhere(route, self.after.routes):
                continue
            if self.adopted and any(_alike(route, r) and r.protocol == RTPROT for r in self.after.routes):
                continue  # a document that takes over says so
            yield f"{route} is gone"

    def rules(self) -> Iterator[str]:
        for rule in self.before.rules:
            if rule.protocol != RTPROT and rule not in self.after.rules:
                yield f"{rule} is gone"


def _down(spec: Any) -> bool:
    return bool(getattr(spec, "admin_state", "up") == "down")


_FACTS = ("kind", "master", "parent", "mtu", "up", "mac", "group", "alias", "ipv6_disabled", "data")


def _elsewhere(route: Route, routes: Iterable[Route]) -> bool:
    return any(_alike(route, r) and (r.via, r.protocol) == (route.via, route.protocol) for r in routes)


def _alike(one: Route, other: Route) -> bool:
    return (one.to, one.table, one.metric) == (other.to, other.table, other.metric)


def _said(was: Link, now: Link, fields: list[str]) -> str:
    told: dict[str, Any] = {field: (getattr(was, field), getattr(now, field)) for field in fields}
    return ", ".join(f"{field} {old} → {new}" for field, (old, new) in told.items())
