"""Which MTU will a link have once the plan is done?"""

from __future__ import annotations

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.rules import declared
from cell_reconciler.model.fields import UNSET

ETHERNET_MTU = 1500  # of a link that is new and of which nobody says more


def expected_mtu(name: str, world: World, seen: frozenset[str] = frozenset()) -> int:
    """What its document says, else what it has; but a VLAN has at most what is below it, and a bridge takes the least
    of its ports until somebody sets another one."""
    doc, link = next(iter(declared(name, world.documents)), None), world.live.links.get(name)
    if doc is not None and doc.spec.mtu is not UNSET:
        return int(doc.spec.mtu)
    below: list[str] = []
    if doc is not None and doc.key.kind in ("Vlan", "Bridge"):
        on = doc.spec.parent if doc.key.kind == "Vlan" else doc.spec.uplink
        below += [] if on is UNSET else [on]
    elif link is not None and link.kind == "vlan" and link.parent is not None:
        below.append(link.parent)
    if link is not None and link.kind == "bridge":
        ports = graph_of(world.live).ports(name)
        below += [port.name for port in ports] if link.mtu == min((port.mtu for port in ports), default=0) else []
    limits = [expected_mtu(x, world, seen | {name}) for x in below if x not in seen]
    return min([*limits, *([link.mtu] if link is not None else [])], default=ETHERNET_MTU)
