"""Addresses, routes and rules as documents say them and as the kernel keeps them, and the way between. Pure.

Sources: ip-route(8), ip-rule(8); that IPv6 takes 1024 for a metric that is not given is IP6_RT_PRIO_USER of the kernel.
"""

from __future__ import annotations

import ipaddress
from typing import TypeVar

import msgspec

from cell_reconciler.kinds.links.spec import Layer3, PolicyRule, StaticRoute
from cell_reconciler.model.fields import UNSET, UnsetType
from cell_reconciler.model.live import Route, Rule
from cell_reconciler.model.mark import RTPROT

S = TypeVar("S", bound=Layer3)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Identity = tuple[int, int, str, int]

IPV6_METRIC = 1024
ANY = {4: "0.0.0.0/0", 6: "::/0"}
BOOT, STATIC = 3, 4  # RTPROT_*: set by a person, by hand or in a file
BY_PEOPLE = frozenset({0, BOOT, STATIC})  # 0: older tools give a rule no protocol


def canonical(spec: S) -> S:
    """As the kernel writes it, sorted: ``FD00:0::1/64`` is ``fd00::1/64``, ``default`` is ``0.0.0.0/0``.

    Raises ValueError for what ``layer3_check`` objects to.
    """
    if not (spec.addresses or spec.routes or spec.rules):
        return spec
    return msgspec.structs.replace(
        spec,
        addresses=tuple(sorted({str(ipaddress.ip_interface(text)) for text in spec.addresses})),
        routes=tuple(sorted({canonical_route(route) for route in spec.routes})),
        rules=tuple(sorted({canonical_rule(rule) for rule in spec.rules})),
    )


# routes


def route_version(route: StaticRoute) -> int:
    """4 or 6; of ``default`` that of the gateway, or of the source address. Raises ValueError."""
    if route.to != "default":
        return ipaddress.ip_network(route.to, strict=False).version
    told = [ipaddress.ip_address(text).version for text in (route.via, route.source) if text is not UNSET]
    return told[0] if told else 4


def canonical_route(route: StaticRoute) -> StaticRoute:
    """Raises ValueError."""
    version = route_version(route)
    return StaticRoute(
        to=ANY[version] if route.to == "default" else str(ipaddress.ip_network(route.to, strict=False)),
        via=_address(route.via),
        source=_address(route.source),
        table=route.table,
        metric=route.metric or (IPV6_METRIC if version == 6 else 0),
        mtu=route.mtu,
        on_link=route.on_link and route.via is not UNSET,
    )


def to_route(link: str, route: StaticRoute) -> Route:
    """Our route in the kernel for a canonical one of a document."""
    return Route(
        to=route.to,
        link=link,
        via=None if route.via is UNSET else route.via,
        source=None if route.source is UNSET else route.source,
        table=route.table,
        metric=route.metric,
        mtu=None if route.mtu is UNSET else route.mtu,
        onlink=route.on_link,
        protocol=RTPROT,
    )


def to_static(route: Route) -> StaticRoute | None:
    """A route in the kernel as a document would say it; None when it has no words for it."""
    if route.detail or route.type != "unicast" or route.link is None:
        return None
    return StaticRoute(
        to=route.to,
        via=_or_unset(route.via),
        source=_or_unset(route.source),
        table=route.table,
        metric=route.metric,
        mtu=UNSET if route.mtu is None else route.mtu,
        on_link=route.onlink,
    )


def identity(route: Route) -> Identity:
    """What the kernel has once: family, table, destination and metric (for IPv6 see ``collide``)."""
    return ipaddress.ip_network(route.to).version, route.table, route.to, route.metric


def collide(one: Route, other: Route) -> bool:
    """Of two routes of one identity: can they not stand side by side as what they are?

    IPv4 has one of them. IPv6 has one through each link, but merges those with gateways into one of several next hops.
    """
    if ":" not in one.to or one.link == other.link:
        return True
    return bool(one.via or one.detail) and bool(other.via or other.detail)


def is_default(route: Route) -> bool:
    """Does it lead everywhere, in the main table?"""
    return route.to in ANY.values() and route.table == 254


def said(route: Route) -> str:
    """``10.30.0.0/16 via 10.0.0.1 table 100 metric 5``: the words of ip-route(8)."""
    words = ["default" if route.to in ANY.values() else route.to]
    words += [f"via {route.via}"] if route.via else []
    words += [f"table {route.table}"] if route.table != 254 else []
    default = IPV6_METRIC if ":" in route.to else 0
    words += [f"metric {route.metric}"] if route.metric != default else []
    return " ".join(words)


# rules


def rule_version(rule: PolicyRule) -> int:
    """4 or 6; IPv4 when neither network tells. Raises ValueError."""
    for text in (rule.source, rule.to):
        if text is not UNSET and text != "default":
            return ipaddress.ip_network(text, strict=False).version
    return 4


def canonical_rule(rule: PolicyRule) -> PolicyRule:
    """A network that is everything is no condition; only where nothing else says IPv6, ``from ::/0`` does.

    Raises ValueError.
    """
    version = rule_version(rule)
    source, to = _condition(rule.source), _condition(rule.to)
    if version == 6 and source is UNSET and to is UNSET:
        source = ANY[6]
    return msgspec.structs.replace(rule, source=source, to=to)


def to_rule(rule: PolicyRule) -> Rule:
    """Our rule in the kernel for a canonical one of a document."""
    source = None if rule.source in (UNSET, ANY[6]) else str(rule.source)
    return Rule(
        family=rule_version(rule),
        priority=rule.priority,
        table=rule.table,
        source=source,
        to=None if rule.to is UNSET else rule.to,
        mark=None if rule.mark is UNSET else rule.mark,
        iif=None if rule.iif is UNSET else rule.iif,
        protocol=RTPROT,
    )


def to_policy(rule: Rule) -> PolicyRule | None:
    """A rule in the kernel as a document would say it; None when it has no words for it."""
    unsaid = rule.detail or rule.action != "to_tbl" or rule.oif is not None or rule.mask is not None
    if unsaid or not 1 <= rule.priority <= 32765:
        return None
    source = _or_unset(rule.source)
    if rule.family == 6 and rule.source is None and rule.to is None:
        source = ANY[6]
    return PolicyRule(
        source=source,
        to=_or_unset(rule.to),
        table=rule.table,
        priority=rule.priority,
        mark=UNSET if rule.mark is None else rule.mark,
        iif=_or_unset(rule.iif),
    )


def rule_said(rule: Rule) -> str:
    """``from 10.0.0.11/32 lookup 100 priority 1000``: the words of ip-rule(8)."""
    words = [f"from {rule.source}"] if rule.source else []
    words += [f"to {rule.to}"] if rule.to else []
    words += [f"fwmark {rule.mark:#x}"] if rule.mark is not None else []
    words += [f"iif {rule.iif}"] if rule.iif else []
    return " ".join([*words, f"lookup {rule.table}", f"priority {rule.priority}"])


def _condition(text: str | UnsetType) -> str | UnsetType:
    if text is UNSET or text == "default":
        return UNSET
    network = ipaddress.ip_network(text, strict=False)
    return UNSET if network.prefixlen == 0 else str(network)


def _address(text: str | UnsetType) -> str | UnsetType:
    return UNSET if text is UNSET else str(ipaddress.ip_address(text))


def _or_unset(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text
