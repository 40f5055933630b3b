"""Who stands on a VLAN device, and would be cut off or deleted with it?"""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.dependents import addresses_on, dependents, machines_on
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.kinds.links.rules import declared
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP, RTPROT


def on_it(name: str, world: World) -> list[Link]:
    """Everything made on top of a link, and on that."""
    found: list[Link] = []
    names = [name]
    for below in names:  # grows
        upper = graph_of(world.live).stacked(below)
        found += upper
        names += [x.name for x in upper]
    return found


def against_replacing(vlan: Link, parent: str, world: World) -> Iterator[Refusal]:
    """What cannot be put back after the device was made anew; VLANs of ours on it can, and static addresses."""
    if not declared(parent, world.documents) and any(x.name == parent for x in graph_of(world.live).above(vlan.name)):
        yield dependents(f"{parent} stands on {vlan.name} itself", f"take {parent} off {vlan.name} first")
    for link in on_it(vlan.name, world):
        if link.kind != "vlan" or link.group != GROUP:
            yield dependents(f"{link.name} stands on {vlan.name} and is not ours", f"delete {link.name} first")
    for link in (vlan, *on_it(vlan.name, world)):
        if leases := [text for text in link.dynamic_addresses if ":" not in text]:  # a router gives those of IPv6 again
            yield dependents(
                f"{link.name} has {', '.join(leases)} of DHCP or of a routing daemon", "stop that program first"
            )


def against_deleting(vlan: Link, world: World) -> Iterator[Refusal]:
    """Everybody but us; of us, those who are declared to stay on it."""
    name, graph = vlan.name, graph_of(world.live)
    for upper in graph.stacked(name):
        owner = owner_of(upper)
        doc = world.documents.get(owner) if owner else None
        if owner is None or (doc is not None and not _leaves(name, doc)):
            yield dependents(f"{upper.name} stands on {name} ({_whose(doc)})", f"delete {upper.name} first")
    master = world.live.links.get(vlan.master or "")
    if master is not None:
        owner = owner_of(master)
        doc = world.documents.get(owner) if owner else None
        if owner is None or (doc is not None and not _leaves(name, doc)):
            yield dependents(f"{name} is a port of {master.name} ({_whose(doc)})", f"take it off {master.name} first")
    yield from addresses_on(vlan)
    routes = [r.to for r in world.live.routes if r.link == name and r.protocol != RTPROT]
    if routes:
        yield dependents(
            f"{name} has a route to {', '.join(routes)}, which somebody else set", "remove the routes first"
        )
    yield from machines_on(world, name)


def _leaves(name: str, doc: Document) -> bool:
    """Does this declared resource, which stands on the link now, not want it any more?"""
    kind = doc.key.kind
    return (kind == "Bridge" and doc.spec.uplink != name) or (kind == "Vlan" and doc.spec.parent != name)


def _whose(doc: Document | None) -> str:
    return f"{doc.key}, which is declared" if doc else "somebody else's"
