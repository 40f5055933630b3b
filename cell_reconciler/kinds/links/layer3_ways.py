"""Would the kernel take this gateway? Asked when the plan is made, since addresses may come from DHCP or a router."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.layer3_values import Network, said
from cell_reconciler.kinds.links.layer3_world import claims_of
from cell_reconciler.kinds.links.rules import declared
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Route
from cell_reconciler.model.mark import RTPROT

_MAIN = 254  # RT_TABLE_MAIN


def no_gateway(route: Route, spec: Layer3, link: Link | None, from_nic: Link | None, world: World) -> Refusal | None:
    """Why the kernel would say "Nexthop has invalid gateway" (fib_check_nh, ip6_route_check_nh); None if it would not.

    ``spec``: of the document, canonical; ``link``: what is there of it; ``from_nic``: what hands its addresses over.
    """
    if route.via is None or route.onlink:
        return None
    via = ipaddress.ip_address(route.via)
    if (via.version == 6 and via.is_link_local) or any(via in n for n in _networks(route, spec, link, from_nic, world)):
        return None
    return Refusal(
        reason="GatewayUnreachable",
        message=f"no address and no route of {route.link} says that the gateway of {said(route)} is on it",
        advice="declare an address in its network, or `onLink: true`; one that comes by DHCP resolves it",
        waiting=True,
    )


def no_source(route: Route, doc: Document, world: World) -> Refusal | None:
    """Why the address to send from cannot be there yet: it is declared for what stands on this very link."""
    if route.source is None:
        return None
    found = claims_of(world).addresses.items()
    holders = [key for cidr, key in found if cidr.partition("/")[0] == route.source]
    if has_address(route.source, world) or not any(_stands_on(key, doc.key, world) for key in holders):
        return None
    message = f"the source of {said(route)} is an address of {holders[0]}, which stands on {doc.key}"
    return Refusal(reason="DependencyNotReady", message=message, waiting=True)


def has_address(ip: str, world: World) -> bool:
    """Does the host have it, and not as one of ours that leaves its link?"""
    claimed = claims_of(world).addresses
    for link in world.live.links.values():
        for cidr in (*link.addresses, *link.dynamic_addresses):
            stays = cidr not in link.owned_addresses or (cidr in claimed and claimed[cidr].name == link.name)
            if cidr.partition("/")[0] == ip and stays:
                return True
    return False


def _stands_on(upper: Key, lower: Key, world: World) -> bool:
    """By what the documents say."""
    seen: set[Key] = set()
    todo = [upper]
    while todo:
        key = todo.pop()
        doc = world.documents.get(key)
        if key in seen or doc is None:
            continue
        seen.add(key)
        below = {getattr(doc.spec, field, UNSET) for field in ("parent", "uplink")} - {UNSET}
        todo += [other.key for name in below for other in declared(str(name), world.documents)]
    return lower in seen - {upper}


def _networks(route: Route, spec: Layer3, link: Link | None, from_nic: Link | None, world: World) -> Iterator[Network]:
    for text in spec.addresses:
        yield ipaddress.ip_interface(text).network
    for holder in (link, from_nic):
        if holder is not None:
            others = {*holder.addresses, *holder.dynamic_addresses} - set(holder.owned_addresses)
            yield from (ipaddress.ip_interface(text).network for text in sorted(others))
            for other in claims_of(world).through.get(holder.name, ()):
                if other.via is None and other.protocol != RTPROT and other.table in (_MAIN, route.table):
                    yield ipaddress.ip_network(other.to)
    for static in spec.routes:
        if static.via is UNSET and static.table in (_MAIN, route.table):
            yield ipaddress.ip_network(static.to)
