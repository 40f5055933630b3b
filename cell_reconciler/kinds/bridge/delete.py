"""Deleting a bridge: only when nobody but us stands on it. The kernel would cut off a running VM without a word."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from cell_reconciler.kinds.bridge import isolation
from cell_reconciler.kinds.bridge.observe import owned_ports, vlan_of
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import DeleteLink, Release
from cell_reconciler.kinds.links.changes import Steps, given_up, pruned
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.model.change import Change, Refusal
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Source
from cell_reconciler.model.mark import GROUP


def delete(have: Observed, world: World) -> Change:
    """The VLAN device first, so that a crash between leaves a bridge, which is found again by its name."""
    key, link, steps = have.key, have.detail, Steps(have.key)
    if have.mark is not None and have.mark.adopted:
        isolation.after(steps, key, world)
        change = given_up(have)
        return msgspec.structs.replace(change, steps=(*steps.steps, *change.steps))
    if link is None:
        isolation.after(steps, key, world)
        return pruned(have, steps, [])
    refused = list(_objections(key, link, world))
    harm = graph_of(world.live).cut(key.name)
    vlan = vlan_of(key, world.live)
    last = link.kind != "bridge"
    if vlan is not None:
        text = f"delete the VLAN device {vlan.name}"
        gives = [f"free:{vlan.name}"] + ([f"free:{vlan.parent}"] if vlan.parent else [])
        action = DeleteLink(name=vlan.name, port_of=key.name)
        steps.add("vlan.delete", text, action, harm, deletes=last, gives=tuple(gives))
    if not last:
        for port in owned_ports(link, world.live):
            if vlan is None or port.name != vlan.name:
                release = Release(name=port.name, master=key.name, disown=True)
                text = f"take {port.name} off {key.name}"
                steps.add("detach", text, release, harm, gives=(f"free:{port.name}",))
        layer3.delete(steps, have, world)
        steps.add("delete", f"delete bridge {key.name}", DeleteLink(name=key.name), harm, deletes=True)
    isolation.after(steps, key, world)
    return pruned(have, steps, refused)


def _objections(key: Key, bridge: Link, world: World) -> Iterator[Refusal]:
    name, graph = key.name, graph_of(world.live)
    if bridge.kind == "bridge":
        ports = sorted(port.name for port in graph.ports(name) if port.group != GROUP)
        if ports:
            yield _dependents(f"{', '.join(ports)} is plugged into {name}", f"unplug {', '.join(ports)} first")
        uppers = sorted(upper.name for upper in graph.stacked(name) if not _goes_too(upper, name, world))
        if uppers:
            yield _dependents(f"{', '.join(uppers)} stands on {name}", f"delete {', '.join(uppers)} first")
        others = [a for a in (*bridge.addresses, *bridge.dynamic_addresses) if a not in bridge.owned_addresses]
        if others:
            yield _dependents(f"{name} has {', '.join(others)}, which somebody else set", "remove the addresses first")
    vlan = vlan_of(key, world.live)
    if vlan is not None and vlan.master not in (None, name):
        yield _dependents(f"{vlan.name} is a port of {vlan.master} now", f"take it off {vlan.master} first")
    if gap := world.live.gap(Source.LIBVIRT):
        message = f"whether a VM uses {name} is unknown: {gap.reason}"
        yield Refusal(reason="ForeignDependents", message=message, waiting=True)
        return
    if users := sorted(graph.users.bridges.get(name, ())):
        # A VM of ours that names it either goes too or is about to be changed: that resolves itself.
        ours = all(user in graph.users.ours for user in users)
        advice = "" if ours else "change these VMs first"
        yield _dependents(f"{', '.join(users)} has an interface on {name}", advice, waiting=ours)


def _goes_too(upper: Link, bridge: str, world: World) -> bool:
    """A VLAN of ours that no document declares any more, or not on this bridge."""
    owner = owner_of(upper)
    doc = world.documents.get(owner) if owner is not None else None
    return owner is not None and owner.kind == "Vlan" and (doc is None or doc.spec.parent != bridge)


def _dependents(message: str, advice: str, waiting: bool = False) -> Refusal:
    return Refusal(reason="ForeignDependents", message=message, advice=advice, waiting=waiting)
