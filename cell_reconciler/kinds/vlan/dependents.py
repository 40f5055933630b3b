"""Who stands on a VLAN device, and would be cut off or deleted with it?"""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Link, Source
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


def against_replacing(vlan: Link, world: World) -> Iterator[Refusal]:
    """What cannot be put back after the device was made anew; VLANs of ours on it can, and static addresses."""
    for link in on_it(vlan.name, world):
        if link.kind != "vlan" or link.group != GROUP:
            yield _no(f"{link.name} stands on {vlan.name} and is not ours", f"delete {link.name} first")
    for link in (vlan, *on_it(vlan.name, world)):
        if leases := [text for text in link.dynamic_addresses if ":" not in text]:  # a router gives those of IPv6 again
            yield _no(f"{link.name} has {', '.join(leases)} of DHCP or of a routing daemon", "stop that program first")


def against_deleting(vlan: Link, world: World) -> Iterator[Refusal]:
    """Everybody but us; of us, those who are declared to stay on it."""
    name, graph = vlan.name, graph_of(world.live)
    for upper in graph.stacked(name):
        owner = owner_of(upper)
        doc = world.documents.get(owner) if owner else None
        if owner is None or (doc is not None and not _leaves(name, doc)):
            yield _no(f"{upper.name} stands on {name} ({_whose(doc)})", f"delete {upper.name} first")
    master = world.live.links.get(vlan.master or "")
    if master is not None:
        owner = owner_of(master)
        doc = world.documents.get(owner) if owner else None
        if owner is None or (doc is not None and not _leaves(name, doc)):
            yield _no(f"{name} is a port of {master.name} ({_whose(doc)})", f"take it off {master.name} first")
    static = [a for a in vlan.addresses if a not in vlan.owned_addresses]
    if others := [*static, *vlan.dynamic_addresses]:
        yield _no(f"{name} has {', '.join(others)}, which somebody else set", "remove the addresses first")
    routes = [r.to for r in world.live.routes if r.link == name and r.protocol != RTPROT]
    if routes:
        yield _no(f"{name} has a route to {', '.join(routes)}, which somebody else set", "remove the routes first")
    if gap := world.live.gap(Source.LIBVIRT):
        message = f"whether a VM uses {name} is unknown: {gap.reason}"
        yield Refusal(reason="ForeignDependents", message=message, waiting=True)
    elif users := sorted(graph.users.direct.get(name, ())):
        ours = all(user in graph.users.ours for user in users)
        yield _no(f"{', '.join(users)} has an interface on {name}", "" if ours else "change these VMs first", ours)


def _leaves(name: str, doc: Document) -> bool:
    """Does this declared resource, which stands on the link now, not want it any more?"""
    kind = doc.key.kind
    return (kind == "Bridge" and doc.spec.uplink != name) or (kind == "Vlan" and doc.spec.parent != name)


def _whose(doc: Document | None) -> str:
    return f"{doc.key}, which is declared" if doc else "somebody else's"


def _no(message: str, advice: str, waiting: bool = False) -> Refusal:
    return Refusal(reason="ForeignDependents", message=message, advice=advice, waiting=waiting)
