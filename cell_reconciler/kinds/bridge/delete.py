"""Deleting a bridge: only when nobody but us stands on it. The kernel would cut off a running VM without a word."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.bridge import isolation
from cell_reconciler.kinds.bridge.observe import owned_ports, vlan_of
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import DeleteLink, Release
from cell_reconciler.kinds.links.changes import Steps, afterwards, given_up, pruned, still_named
from cell_reconciler.kinds.links.dependents import addresses_on, dependents, machines_on
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.kinds.links.rules import declared
from cell_reconciler.model.change import Change, Refusal
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP


def delete(have: Observed, world: World) -> Change:
    """The VLAN device first, so that a crash between leaves a bridge, which is found again by its name."""
    key, link, steps = have.key, have.detail, Steps(have.key)
    if have.mark is not None and have.mark.adopted:
        isolation.after(steps, key, world)
        layer3.give_up(steps, have, world)
        return given_up(have, steps)
    if link is None:
        isolation.after(steps, key, world)
        return pruned(have, steps, [])
    refused = list(_objections(key, link, world)) or still_named(key.name, world)
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
                release = Release(name=port.name, master=key.name, disown=True, **afterwards(port.name, world))
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
            yield dependents(f"{', '.join(ports)} is plugged into {name}", f"unplug {', '.join(ports)} first")
        uppers = sorted(upper.name for upper in graph.stacked(name) if not _goes_too(upper, name, world))
        if uppers:
            yield dependents(f"{', '.join(uppers)} stands on {name}", f"delete {', '.join(uppers)} first")
        yield from addresses_on(bridge)
    vlan = vlan_of(key, world.live)
    if vlan is not None:
        yield from _on_device(vlan, name, world)
    yield from machines_on(world, name, *([vlan.name] if vlan is not None else []))


def _on_device(vlan: Link, bridge: str, world: World) -> Iterator[Refusal]:
    """The VLAN device of an access bridge goes with it."""
    if docs := declared(vlan.name, world.documents):
        yield dependents(f"{vlan.name} is declared by {docs[0].key} now", f"let {docs[0].key} take it over first")
    if vlan.master not in (None, bridge):
        yield dependents(f"{vlan.name} is a port of {vlan.master} now", f"take it off {vlan.master} first")
    if uppers := sorted(x.name for x in graph_of(world.live).stacked(vlan.name) if not _goes_too(x, vlan.name, world)):
        yield dependents(f"{', '.join(uppers)} stands on {vlan.name}", f"delete {', '.join(uppers)} first")
    yield from addresses_on(vlan)


def _goes_too(upper: Link, bridge: str, world: World) -> bool:
    """A VLAN of ours that no document declares any more, or not on this bridge."""
    owner = owner_of(upper)
    doc = world.documents.get(owner) if owner is not None else None
    return owner is not None and owner.kind == "Vlan" and (doc is None or doc.spec.parent != bridge)
