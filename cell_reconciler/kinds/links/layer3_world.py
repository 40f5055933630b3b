"""Whose is which address, route and rule: what the documents claim and what the kernel has, looked up by what it is.

A policy rule belongs to no link, and the kernel keeps no text with it. One of ours that a document declares belongs to
that document. One that none declares (any more) is given to the link that it has most to do with: its ``iif``, our
routes in its table, the addresses that it is for. Among equals it is a link that no document declares, so that while
pruning is off nothing goes that such a link may need.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from functools import cached_property

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.layer3_values import BY_PEOPLE, Identity, canonical, identity, to_route, to_rule
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Route, Rule
from cell_reconciler.model.mark import RTPROT


class Claims:
    """An index over a World. Use ``claims_of``, which builds it once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.addresses: dict[str, Key] = {}  # canonical; those that are no link-local ones of IPv6
        self.routes: dict[Identity, Key] = {}
        self.rules: dict[Rule, Key] = {}  # as ours
        self._wanted: dict[str, Layer3] = {}  # canonical
        for key, doc in world.documents.items():
            if not isinstance(doc.spec, Layer3) or not (doc.spec.addresses or doc.spec.routes or doc.spec.rules):
                continue
            try:
                spec = canonical(doc.spec)
            except ValueError:  # its check says so
                continue
            self._wanted[key.name] = spec
            self.addresses.update((cidr, key) for cidr in spec.addresses if not every_link_has(cidr))
            self.routes.update((identity(to_route(key.name, route)), key) for route in spec.routes)
            self.rules.update((to_rule(rule), key) for rule in spec.rules)

    @cached_property
    def through(self) -> dict[str, list[Route]]:
        """Routes in the kernel by their link."""
        found: dict[str, list[Route]] = defaultdict(list)
        for route in self._world.live.routes:
            if route.link is not None:
                found[route.link].append(route)
        return found

    @cached_property
    def alike(self) -> dict[Identity, list[Route]]:
        """Routes in the kernel by their identity."""
        found: dict[Identity, list[Route]] = defaultdict(list)
        for route in self._world.live.routes:
            found[identity(route)].append(route)
        return found

    @cached_property
    def holders(self) -> dict[str, list[Link]]:
        """Links by the addresses of ours that they have."""
        found: dict[str, list[Link]] = defaultdict(list)
        for link in self._world.live.links.values():
            for cidr in link.owned_addresses:
                found[cidr].append(link)
        return found

    @cached_property
    def our_rules(self) -> dict[str, list[Rule]]:
        """Rules of ours by the link that they belong to."""
        rules = [rule for rule in self._world.live.rules if rule.protocol == RTPROT]
        if not rules:
            return {}
        ours = [owner for link in self._world.live.links.values() if (owner := owner_of(link)) is not None]
        links = [key.name for key in ours if key.name in self._world.live.links]
        links += sorted(self.declared - set(links))
        found: dict[str, list[Rule]] = defaultdict(list)
        for rule in rules if links else ():
            key = self.rules.get(rule)
            found[key.name if key else self._nearest(rule, links)[1]].append(rule)
        return found

    @cached_property
    def other_rules(self) -> dict[str, list[Rule]]:
        """Rules of people by the link that they have to do with; others are nobody's."""
        found: dict[str, list[Rule]] = defaultdict(list)
        links = [name for name in self._world.live.links if name != "lo"]
        for rule in self._world.live.rules:
            if rule.protocol in BY_PEOPLE and links:
                evidence, name = self._nearest(rule, links)
                if evidence:
                    found[name].append(rule)
        return found

    def _nearest(self, rule: Rule, links: list[str]) -> tuple[int, str]:
        """How much speaks for the link, and the link for which the most does."""
        ranked = min((-self._evidence(rule, name), name in self.declared, name) for name in links)
        return -ranked[0], ranked[2]

    @cached_property
    def declared(self) -> frozenset[str]:
        return frozenset(key.name for key, doc in self._world.documents.items() if isinstance(doc.spec, Layer3))

    def _evidence(self, rule: Rule, name: str) -> int:
        """What a link is declared to have counts too, and what another one takes over from it does not: so the answer
        is the same before and after a plan."""
        link, spec = self._world.live.links.get(name), self._wanted.get(name)
        addresses = {a for a in link.addresses if not self._goes(self.addresses.get(a), name)} if link else set()
        addresses |= set(spec.addresses if spec else ())
        routes = [r for r in self.through.get(name, ()) if not self._goes(self.routes.get(identity(r)), name)]
        routes += [to_route(name, route) for route in (spec.routes if spec else ())]
        source = ipaddress.ip_network(rule.source) if rule.source else None
        interfaces = map(ipaddress.ip_interface, addresses if source is not None else ())
        near = any(i.version == source.version and i.ip in source for i in interfaces if source is not None)
        table = any(route.table == rule.table and identity(route)[0] == rule.family for route in routes)
        return 4 * (rule.iif == name) + 2 * (table and rule.table != 254) + near

    @staticmethod
    def _goes(heir: Key | None, name: str) -> bool:
        return heir is not None and heir.name != name


def every_link_has(cidr: str) -> bool:
    """May each link have this very address? So it is with link-local ones of IPv6."""
    ip = ipaddress.ip_interface(cidr).ip
    return ip.version == 6 and ip.is_link_local


_latest: tuple[World, Claims] | None = None


def claims_of(world: World) -> Claims:
    """The claims in a world; those of the last one are kept, since a thousand resources ask for the same."""
    global _latest  # noqa: PLW0603  # a memo of one; replaced as a whole, so threads see the old or the new one
    known = _latest
    if known is None or (known[0].live is not world.live or known[0].documents is not world.documents):
        known = (world, Claims(world))
        _latest = known
    return known[1]
