"""Would the kernel take this gateway? Asked when the plan is made, since addresses may come from DHCP or a router."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.layer3_values import Network, said
from cell_reconciler.kinds.links.layer3_world import claims_of
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.fields import UNSET
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


def _networks(
    route: Route, spec: Layer3, link: Link | None, from_nic: Link | None, world: World
) -> Iterator[Network]:
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
