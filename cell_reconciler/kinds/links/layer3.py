"""Addresses, routes, policy rules and IPv6 of a link: what Bond, Bridge, Nic and Vlan have in common. Pure.

Ours is what carries our number: IFA_PROTO of an address, the protocol of a route or rule. What others set is left
alone; where a document declares the very same, it counts as there. Nothing is taken away before what stands in its
place is there: addresses, then routes (those without a gateway first, since they lead to the gateways), then rules, and
what goes in the opposite order. What another document declares now is taken over by that one, not deleted here.

The one time that things of others are touched: a NIC becomes the port of a declared bridge (``from_nic``). Its routes
are then led through the bridge, whoever set them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

import msgspec

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.actions import AddAddress, DeleteAddress
from cell_reconciler.kinds.links.changes import Steps
from cell_reconciler.kinds.links.graph import TAP_KINDS, graph_of, host_addresses
from cell_reconciler.kinds.links.layer3_actions import (
    AddRule,
    DeleteRoute,
    DeleteRule,
    MoveRoutes,
    SetIpv6,
    SetRoute,
    falling,
    kept,
    restore,
    taken,
)
from cell_reconciler.kinds.links.layer3_check import check
from cell_reconciler.kinds.links.layer3_values import (
    BY_PEOPLE,
    canonical,
    collide,
    identity,
    is_default,
    rule_said,
    said,
    to_policy,
    to_route,
    to_rule,
    to_static,
)
from cell_reconciler.kinds.links.layer3_ways import has_address, no_gateway, no_source
from cell_reconciler.kinds.links.layer3_world import Claims, claims_of, every_link_has
from cell_reconciler.kinds.links.marks import named_paths
from cell_reconciler.kinds.links.spec import Layer3, PolicyRule, StaticRoute
from cell_reconciler.model.change import Refusal, Risk
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Route
from cell_reconciler.model.mark import RTPROT, Mark

Harm = tuple[Risk, str]
NO_HARM: Harm = (Risk.NONE, "")


# what is there


def observed(key: Key, link: Link, mark: Mark | None, world: World) -> dict[str, Any]:
    """Keyword values for the kind's spec: ours, and of the others those that the document declares too.

    Without our mark and without a document: everything that people set.
    """
    claims, doc = claims_of(world), world.documents.get(key)
    routes, rules = claims.through.get(link.name, []), claims.our_rules.get(link.name, [])
    if doc is not None:
        want = canonical(doc.spec)
        every = (*link.addresses, *link.dynamic_addresses)
        addresses = {a for a in every if a in want.addresses or a in link.owned_addresses}
        routes = [r for r in routes if r.protocol == RTPROT or to_static(r) in want.routes]
        others = [r for r in world.live.rules if r.protocol != RTPROT] if want.rules else []
        rules = rules + [r for r in others if to_policy(r) in want.rules]
    elif mark is not None:
        addresses = set(link.owned_addresses)
        routes = [r for r in routes if r.protocol == RTPROT]
    else:
        addresses = set(link.addresses)
        routes = [r for r in routes if r.protocol in (*BY_PEOPLE, RTPROT)]
        rules = rules + claims.other_rules.get(link.name, [])
    return {
        "addresses": tuple(sorted(addresses)),
        "routes": _sorted(to_static(route) for route in routes),
        "rules": _sorted(to_policy(rule) for rule in rules),
        "ipv6": link.ipv6_disabled is False,
    }


def _sorted(found: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted({item for item in found if item is not None}))


def create_ipv6(doc: Document) -> bool:
    """Does a new link of this document have IPv6?"""
    spec: Layer3 = canonical(doc.spec)
    return bool(spec.addresses) or _has_ipv6_route(spec) if spec.ipv6 is UNSET else bool(spec.ipv6)


def lost_with(link_names: Iterable[str], world: World) -> tuple[Route, ...]:
    """Routes that the kernel forgets when these links go down, VLANs on them included, as far as we have words for
    them; in the order in which ``restore`` brings them back. An action that takes a link down and up uses ``kept``."""
    claims = claims_of(world)
    lost = [route for name in falling(link_names, world.live.links) for route in claims.through.get(name, ())]
    return tuple(sorted((r for r in lost if to_static(r) is not None), key=lambda r: r.via is not None))


def _has_ipv6_route(spec: Layer3) -> bool:
    return any(":" in route.to for route in spec.routes)


# what to do


def create(steps: Steps, doc: Document, world: World, from_nic: Link | None = None) -> None:
    """Steps for a new link, after it is up. ``from_nic``: its addresses and routes move to the new link."""
    want = canonical(doc.spec)
    _new(steps, doc, want, None, (), world, from_nic)
    _old_rules(steps, doc.key.name, want.rules, claims_of(world))
    _old_routes(steps, doc.key.name, want.routes, claims_of(world), from_nic)


def update(
    steps: Steps, doc: Document, have: Observed, world: World, todo: frozenset[str], from_nic: Link | None = None
) -> None:
    """Steps for a link that is there, as far as its fields are in ``todo``."""
    name, link = doc.key.name, have.detail
    want = _only(canonical(doc.spec), todo)
    claims, from_nic = claims_of(world), from_nic or _unfinished(name, canonical(doc.spec), world)
    if "ipv6" in todo and want.ipv6 is True:
        steps.add("ipv6", f"turn IPv6 of {name} on", SetIpv6(name=name, on=True))
    _new(steps, doc, want, link, have.spec.routes, world, from_nic)
    if "rules" in todo:
        _old_rules(steps, name, want.rules, claims)
    if "routes" in todo or (from_nic is not None and _says(doc, "routes", have.mark)):
        _old_routes(steps, name, canonical(doc.spec).routes, claims, from_nic)
    if "addresses" in todo:
        stay = (to_route(name, r) for r in canonical(doc.spec).routes if r in have.spec.routes)
        lost = (no_gateway(route, canonical(doc.spec), link, from_nic, world) for route in stay)
        steps.refused += [refusal for refusal in lost if refusal is not None]
        _old_addresses(steps, link, want.addresses, world)
    if "ipv6" in todo and want.ipv6 is False:
        steps.add("ipv6", f"turn IPv6 of {name} off", SetIpv6(name=name, on=False), _without_ipv6(link))


def delete(steps: Steps, have: Observed, world: World) -> None:
    """What does not go with the link itself: its policy rules."""
    _old_rules(steps, have.key.name, (), claims_of(world))


def give_up(steps: Steps, have: Observed, world: World) -> None:
    """What is ours on a link that stays, which is ours no more."""
    nothing = Document(key=have.key, spec=Layer3(), given={}, position=Position("", 0))
    update(steps, nothing, have, world, frozenset({"addresses", "routes", "rules"}))


def _only(want: Layer3, todo: frozenset[str]) -> Layer3:
    """The part of the spec that is to be acted upon."""
    names = ("addresses", "routes", "rules")
    return msgspec.structs.replace(want, **{name: () for name in names if name not in todo})


def _unfinished(name: str, want: Layer3, world: World) -> Link | None:
    """A port that still has an address which the document declares for the bridge: a move that was cut short."""
    for port in graph_of(world.live).ports(name) if want.addresses else ():
        if port.kind not in TAP_KINDS and any(cidr in want.addresses for cidr in host_addresses(port)):
            return port
    return None


# what comes


def _new(
    steps: Steps,
    doc: Document,
    want: Layer3,
    link: Link | None,
    present: tuple[StaticRoute, ...],
    world: World,
    from_nic: Link | None,
) -> None:
    """The addresses, routes and rules that are not there yet; those of the NIC in between."""
    name, claims = doc.key.name, claims_of(world)
    moving = _moving(want if link is None else canonical(doc.spec), from_nic)
    have = (*link.addresses, *link.dynamic_addresses) if link else ()
    held: list[tuple[str, Link]] = []
    for cidr in want.addresses:
        if cidr not in have:
            others = _holders(name, cidr, claims)
            held += [(cidr, other) for other in others if other is not from_nic]
            known = cidr in moving or bool(others)  # the host has it already: nobody else does
            action, gives = AddAddress(name=name, cidr=cidr, check=not known), (f"address:{_ip(cidr)}",)
            steps.add("address.add", f"add {cidr} to {name}", action, gives=gives)
    for cidr in canonical(doc.spec).addresses:
        if cidr in have:  # a move that was cut short; those that are declared remove it themselves
            others = [other for other in _holders(name, cidr, claims) if other.name not in claims.declared]
            held += [(cidr, other) for other in others if other is not from_nic]
    if from_nic is not None:
        text = f"lead the routes of {from_nic.name} through {name}"
        steps.add("route.move", text, MoveRoutes(name=name, from_nic=from_nic.name))
        held += [(cidr, from_nic) for cidr in moving]
    for cidr, other in held:
        text = f"remove {cidr} from {other.name}"
        steps.add("address.move", text, DeleteAddress(name=other.name, cidr=cidr))
    for static in sorted(want.routes, key=lambda route: (route.via is not UNSET, route)):
        if static not in present:
            route = to_route(name, static)
            refusal = no_gateway(route, canonical(doc.spec), link, from_nic, world) or no_source(route, doc, world)
            if refusal is not None:
                steps.refuse(refusal)
            else:
                _set_route(steps, doc, route, claims, from_nic, needs=_source(route, world))
    rules = {to_policy(rule) for rule in world.live.rules} if want.rules else set()
    for rule in want.rules:
        if rule not in rules:
            ours = to_rule(rule)
            steps.add("rule.add", f"add the rule {rule_said(ours)}", AddRule(name=name, rule=ours))


def _ip(cidr: str) -> str:
    return cidr.partition("/")[0]


def _source(route: Route, world: World) -> tuple[str, ...]:
    """The kernel takes a route only when the host has the address to send from, on whichever link."""
    if route.source is None or has_address(route.source, world):
        return ()
    return (f"address:{route.source}",)


def _moving(want: Layer3, from_nic: Link | None) -> tuple[str, ...]:
    found = host_addresses(from_nic) if from_nic is not None else []
    return tuple(cidr for cidr in found if cidr in want.addresses)


def _holders(name: str, cidr: str, claims: Claims) -> list[Link]:
    """Other links that have the address from us, and that it was declared for before."""
    return [] if every_link_has(cidr) else [link for link in claims.holders.get(cidr, []) if link.name != name]


def _set_route(
    steps: Steps, doc: Document, route: Route, claims: Claims, from_nic: Link | None, needs: tuple[str, ...]
) -> None:
    """Ours give way, wherever they are; so do those that people set, when the document is told to take over."""
    name, nic = doc.key.name, from_nic.name if from_nic is not None else None
    same = claims.alike.get(identity(route), [])
    known = [r for r in same if not r.detail]  # the others are not what we have set, whatever protocol they name
    instead = [r for r in known if r.protocol == RTPROT or r.link == nic or (doc.adopts and r.protocol in BY_PEOPLE)]
    for other in same:
        if other not in instead and collide(other, route):
            message, advice = taken(other)
            steps.refuse(Refusal(reason="Conflict", message=message, advice=advice))
            return
    old = [msgspec.structs.replace(r, link=name) if r.link == nic else r for r in instead]
    action = SetRoute(name=name, route=route, instead=tuple(r for r in old if r != route))
    text, harm = f"set the route to {said(route)} through {name}", _harm_of_setting(route, claims)
    steps.add("route.set", text, action, harm, needs=needs)


def _harm_of_setting(route: Route, claims: Claims) -> Harm:
    """Another default route than now may be the end of the way by which the host is managed."""
    same = claims.alike.get(identity(route), [])
    ways = {(r.link, r.via) for r in same}
    if not is_default(route):
        return (Risk.BLIP, f"{said(route)} was another route") if ways - {(route.link, route.via)} else NO_HARM
    version = identity(route)[0]
    defaults = [r for found in claims.alike.values() for r in found if is_default(r) and identity(r)[0] == version]
    beaten = [r for r in defaults if r.metric >= route.metric and (r.link, r.via) != (route.link, route.via)]
    if beaten:
        return Risk.CUTS_MANAGEMENT, f"the host may be managed through {said(beaten[0])} ({beaten[0].link})"
    return NO_HARM


# what goes


def _old_rules(steps: Steps, name: str, wanted: tuple[PolicyRule, ...], claims: Claims) -> None:
    for rule in claims.our_rules.get(name, []):
        if (policy := to_policy(rule)) not in wanted:
            harm = Risk.DISRUPTIVE, f"packets may have found their way by table {rule.table}"
            if any(policy == msgspec.structs.replace(new, priority=rule.priority) for new in wanted):
                harm = Risk.BLIP, "it changes its priority"
            steps.add("rule.delete", f"delete the rule {rule_said(rule)}", DeleteRule(name=name, rule=rule), harm)


def _says(doc: Document, field: str, mark: Mark | None) -> bool:
    """Is the field ours, whether the document names it or not?"""
    named = named_paths(doc, mark)
    return named is None or f"/spec/{field}" in named


def _old_routes(
    steps: Steps, name: str, wanted: tuple[StaticRoute, ...], claims: Claims, from_nic: Link | None
) -> None:
    """Those with a gateway first. One whose identity is declared elsewhere, or with another gateway, is replaced.

    Those of the NIC that became its port lead through the link by then.
    """
    new = {identity(to_route(name, route)) for route in wanted}
    moved = claims.through.get(from_nic.name, []) if from_nic is not None else []
    every = [*claims.through.get(name, []), *(msgspec.structs.replace(route, link=name) for route in moved)]
    ours = [route for route in every if route.protocol == RTPROT]
    for route in sorted(ours, key=lambda route: route.via is None):
        if to_static(route) in wanted or identity(route) in new:
            continue
        heir = claims.routes.get(identity(route))
        if heir is None or any(r.link == heir.name for r in claims.alike[identity(route)]):
            text = f"delete the route to {said(route)} through {name}"
            action = DeleteRoute(name=name, route=route)
            steps.add("route.delete", text, action, _harm_of_deleting(route, wanted))


def _harm_of_deleting(route: Route, wanted: tuple[StaticRoute, ...]) -> Harm:
    via = UNSET if route.via is None else route.via
    if any((new.to, new.table, new.via) == (route.to, route.table, via) for new in wanted):
        return Risk.BLIP, f"the route to {route.to} changes its metric"
    if is_default(route):
        return Risk.CUTS_MANAGEMENT, f"the host may be managed through {said(route)}"
    return Risk.DISRUPTIVE, f"what is in {route.to} is reached another way, or not at all"


def _old_addresses(steps: Steps, link: Link, wanted: tuple[str, ...], world: World) -> None:
    claims = claims_of(world)
    for cidr in link.owned_addresses:
        heir = claims.addresses.get(cidr)
        there = world.live.links.get(heir.name) if heir is not None else None
        if cidr in wanted or (heir is not None and (there is None or cidr not in there.addresses)):
            continue
        text, action = f"remove {cidr} from {link.name}", DeleteAddress(name=link.name, cidr=cidr)
        steps.add("address.delete", text, action, _removal(cidr, wanted))


def _removal(cidr: str, wanted: tuple[str, ...]) -> Harm:
    """Who was reached directly still is when the network of the address grows; when it shrinks, maybe not."""
    old = ipaddress.ip_interface(cidr)
    ip, same = old.ip, [new for other in wanted if (new := ipaddress.ip_interface(other)).ip == old.ip]
    if ip.is_link_local or any(new.network.prefixlen <= old.network.prefixlen for new in same):
        return Risk.BLIP, f"{ip} changes its network"
    return Risk.CUTS_MANAGEMENT, f"the host may be managed by {ip}"


def _without_ipv6(link: Link) -> Harm:
    gone = [cidr for cidr in host_addresses(link) if ipaddress.ip_interface(cidr).version == 6]
    return (Risk.CUTS_MANAGEMENT, f"the host may be managed by {', '.join(gone)}") if gone else NO_HARM


__all__ = [
    "canonical",
    "check",
    "create",
    "create_ipv6",
    "delete",
    "give_up",
    "kept",
    "lost_with",
    "observed",
    "restore",
    "update",
]
