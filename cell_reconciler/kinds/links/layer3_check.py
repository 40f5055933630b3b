"""Rules for addresses, routes and policy rules that JSON Schema cannot say, alone and beside the other documents."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links.layer3_values import (
    ANY,
    Identity,
    Network,
    canonical_route,
    canonical_rule,
    identity,
    route_version,
    rule_version,
    to_route,
)
from cell_reconciler.kinds.links.layer3_world import every_link_has
from cell_reconciler.kinds.links.link_local import link_local_taken
from cell_reconciler.kinds.links.memo import Latest
from cell_reconciler.kinds.links.spec import Layer3, PolicyRule, StaticRoute
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, UnsetType
from cell_reconciler.model.key import Key

LOCAL_TABLE = 255  # RT_TABLE_LOCAL: the kernel's own
_Place = tuple[Key, int]  # a document and the place in its list


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """All problems of the layer-3 fields of one document."""
    spec: Layer3 = doc.spec
    if not (spec.addresses or spec.routes or spec.rules):
        return
    declared = _declared_in(documents)
    yield from _addresses(doc, declared)
    yield from link_local_taken(doc, documents)
    yield from _routes(doc, declared)
    yield from _rules(doc, declared)
    if spec.ipv6 is False:
        yield from _ipv6_off(spec)


# -- beside others -----------------------------------------------------------------------------------------------


class _Declared:
    """Who declares what. What is no address, route or rule is left out: its own check says so."""

    def __init__(self, documents: Mapping[Key, Document]) -> None:
        self.addresses: dict[str, list[_Place]] = defaultdict(list)
        self.routes: dict[Identity, list[_Place]] = defaultdict(list)
        self.rules: dict[tuple[int, PolicyRule], list[_Place]] = defaultdict(list)
        for key, doc in documents.items():
            if isinstance(doc.spec, Layer3):
                self._add(key, doc.spec)

    def _add(self, key: Key, spec: Layer3) -> None:
        for index, text in enumerate(spec.addresses):
            if (interface := _interface(text)) is not None:
                self.addresses[str(interface)].append((key, index))
        for index, route in enumerate(spec.routes):
            if (what := _identity(route)) is not None:
                self.routes[what].append((key, index))
        for index, rule in enumerate(spec.rules):
            if (selector := _selector(rule)) is not None:
                self.rules[selector].append((key, index))


_declared_in = Latest(_Declared)


def _identity(route: StaticRoute) -> Identity | None:
    try:
        return identity(to_route("", canonical_route(route)))
    except ValueError:
        return None


def _selector(rule: PolicyRule) -> tuple[int, PolicyRule] | None:
    """What two rules may not both have: everything but the table."""
    try:
        return rule_version(rule), msgspec.structs.replace(canonical_rule(rule), table=1)
    except ValueError:
        return None


def _first_of(places: list[_Place], key: Key, index: int) -> tuple[bool, Key | None]:
    """Is it listed before in the same document, and which other document has it too?"""
    before = any(other == key and place < index for other, place in places)
    return before, next((other for other, _ in places if other != key), None)


# -- addresses ---------------------------------------------------------------------------------------------------


def _addresses(doc: Document, declared: _Declared) -> Iterator[Problem]:
    for index, text in enumerate(doc.spec.addresses):
        pointer = f"/spec/addresses/{index}"
        try:
            interface = ipaddress.ip_interface(text)
        except ValueError as error:
            yield Problem(pointer=pointer, rule="address", message=str(error))
            continue
        if fault := _no_host(interface):
            yield Problem(pointer=pointer, rule="address", message=f"{text} {fault}")
        before, other = _first_of(declared.addresses[str(interface)], doc.key, index)
        if before:
            yield Problem(pointer=pointer, rule="address-twice", message=f"{text} is listed twice")
        if other is not None and not every_link_has(str(interface)):
            yield Problem(pointer=pointer, rule="address-of-two", message=f"{text} is an address of {other} too")


def _no_host(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str | None:
    address, network = interface.ip, interface.network
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        return "cannot be the address of a link"
    if interface.version == 4 and network.prefixlen < 31:
        if address == network.network_address:
            return "is the address of the network, not of a host in it"
        if address == network.broadcast_address:
            return "is the broadcast address of its network"
    return None


def _ipv6_off(spec: Layer3) -> Iterator[Problem]:
    for field, values in (("addresses", spec.addresses), ("routes", spec.routes)):
        if any(_is_ipv6(value) for value in values):
            message = f"ipv6 is off, and there are IPv6 {field}"
            yield Problem(pointer="/spec/ipv6", rule="ipv6-off", message=message, advice=f"remove the {field}, or ipv6")


def _is_ipv6(value: str | StaticRoute) -> bool:
    if isinstance(value, StaticRoute):
        what = _identity(value)
        return what is not None and what[0] == 6
    interface = _interface(value)
    return interface is not None and interface.version == 6


# -- routes ------------------------------------------------------------------------------------------------------


def _routes(doc: Document, declared: _Declared) -> Iterator[Problem]:
    for index, route in enumerate(doc.spec.routes):
        pointer = f"/spec/routes/{index}"
        faults = list(_route_faults(route, pointer))
        yield from faults
        if faults:
            continue
        yield from _gateway(doc.spec, route, pointer)
        yield from _route_twice(doc, route, index, declared)


def _route_faults(route: StaticRoute, pointer: str) -> Iterator[Problem]:
    try:
        version = route_version(route)
    except ValueError as error:
        yield Problem(pointer=f"{pointer}/to", rule="route-network", message=str(error))
        return
    if message := _host_bits(route.to):
        yield Problem(pointer=f"{pointer}/to", rule="route-network", message=message)
    for name, text in (("via", route.via), ("source", route.source)):
        if text is UNSET:
            continue
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            yield Problem(pointer=f"{pointer}/{name}", rule="address", message=str(error))
            continue
        if address.version != version:
            message = f"{text} is IPv{address.version}, and the route to {route.to} is IPv{version}"
            yield Problem(pointer=f"{pointer}/{name}", rule="route-family", message=message)
        elif address.is_multicast or address.is_unspecified or address.is_loopback:
            message = f"{text} cannot be {'a gateway' if name == 'via' else 'the address of a host'}"
            yield Problem(pointer=f"{pointer}/{name}", rule="address", message=message)
    if route.on_link and route.via is UNSET:
        message = "onLink is about the gateway, and there is none: a route without `via` is on the link anyway"
        yield Problem(pointer=f"{pointer}/onLink", rule="route-on-link", message=message)
    if route.table == LOCAL_TABLE:
        message = "table 255 (local) is the kernel's own"
        yield Problem(pointer=f"{pointer}/table", rule="route-table", message=message)


def _gateway(spec: Layer3, route: StaticRoute, pointer: str) -> Iterator[Problem]:
    """The kernel takes only a gateway that an address or another route of the link says is on it."""
    if route.via is UNSET or route.on_link:
        return
    via = ipaddress.ip_address(route.via)
    own = [i for text in spec.addresses if (i := _interface(text)) is not None and i.version == via.version]
    if not own or (via.version == 6 and via.is_link_local):
        return
    if any(via == interface.ip for interface in own):
        message = f"{route.via} is an address of this link, not of a gateway"
        yield Problem(pointer=f"{pointer}/via", rule="route-gateway", message=message)
    elif not any(via in network for network in (*(i.network for i in own), *_on_link(spec, route.table))):
        networks = ", ".join(str(interface.network) for interface in own)
        message = f"no address of this link has the gateway {route.via} in its network ({networks})"
        advice = "correct the gateway, or say `onLink: true` if it is on this link all the same"
        yield Problem(pointer=f"{pointer}/via", rule="route-gateway", message=message, advice=advice)


def _on_link(spec: Layer3, table: int) -> Iterator[Network]:
    """What the document says is reached without a gateway, in the route's table or in the main one."""
    for other in spec.routes:
        if other.via is UNSET and other.table in (table, 254) and _identity(other) is not None:
            yield ipaddress.ip_network(canonical_route(other).to)


def _route_twice(doc: Document, route: StaticRoute, index: int, declared: _Declared) -> Iterator[Problem]:
    what = _identity(route)
    if what is None:
        return
    before, other = _first_of(declared.routes[what], doc.key, index)
    default = what[2] in ANY.values()
    name = f"{'the default route' if default else route.to} with metric {what[3]} in table {what[1]}"
    rule = "default-route-twice" if default else "route-twice"
    pointer, advice = f"/spec/routes/{index}", "give one of them another metric"
    if before:
        yield Problem(pointer=pointer, rule=rule, message=f"{name} is listed twice", advice=advice)
    if other is not None:
        message = f"{name} is a route of {other} too: a host has it once"
        yield Problem(pointer=pointer, rule=rule, message=message, advice=advice)


# -- rules -------------------------------------------------------------------------------------------------------


def _rules(doc: Document, declared: _Declared) -> Iterator[Problem]:
    for index, rule in enumerate(doc.spec.rules):
        pointer = f"/spec/rules/{index}"
        faults = list(_rule_faults(rule, pointer))
        yield from faults
        selector = _selector(rule)
        if faults or selector is None:
            continue
        before, other = _first_of(declared.rules[selector], doc.key, index)
        if before:
            message = "a rule with this priority and these conditions is listed twice"
            yield Problem(pointer=pointer, rule="rule-twice", message=message)
        if other is not None:
            message = f"{other} has a rule with this priority and these conditions too"
            advice = "keep one of them, or give one another priority"
            yield Problem(pointer=pointer, rule="rule-twice", message=message, advice=advice)


def _rule_faults(rule: PolicyRule, pointer: str) -> Iterator[Problem]:
    versions: dict[str, int] = {}
    for name, text in (("from", rule.source), ("to", rule.to)):
        if text is UNSET or text == "default":
            continue
        try:
            versions[name] = ipaddress.ip_network(text, strict=False).version
        except ValueError as error:
            yield Problem(pointer=f"{pointer}/{name}", rule="rule-network", message=str(error))
            continue
        if message := _host_bits(text):
            yield Problem(pointer=f"{pointer}/{name}", rule="rule-network", message=message)
    if len(set(versions.values())) > 1:
        message = f"from is IPv{versions['from']}, and to is IPv{versions['to']}: no packet is both"
        yield Problem(pointer=f"{pointer}/to", rule="rule-family", message=message)


def _host_bits(text: str | UnsetType) -> str:
    """Why a network that can be read is none: ``10.0.0.1/16 has host bits set``; empty when it is one."""
    if text is UNSET or text == "default":
        return ""
    network = ipaddress.ip_network(text, strict=False)
    bare = str(text).partition("/")[0]
    right = ipaddress.ip_address(bare) == network.network_address
    return (
        "" if right else f"{text} has host bits set: the network is {network}, the host {bare}/{network.max_prefixlen}"
    )


def _interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        return None
