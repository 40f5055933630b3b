"""What it takes to delete a bond. Pure."""

from __future__ import annotations

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import DeleteLink, Release
from cell_reconciler.kinds.links.changes import Steps, afterwards, given_up, pruned, still_named
from cell_reconciler.kinds.links.dependents import addresses_on, dependents, machines_on
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.model.change import Change
from cell_reconciler.model.document import Document


def delete(have: Observed, world: World) -> Change:
    """Members go first; nothing goes while somebody stands on the bond."""
    steps = Steps(have.key)
    if have.mark is not None and have.mark.adopted:
        layer3.give_up(steps, have, world)
        return given_up(have, steps)
    name, bond = have.key.name, have.detail
    graph, refused = graph_of(world.live), []
    layer3.delete(steps, have, world)
    uppers = [*graph.stacked(name), *(world.live.links[m] for m in [bond.master] if m in world.live.links)]
    for upper in uppers:
        owner = owner_of(upper)
        doc = world.documents.get(owner) if owner else None
        if owner is None or (doc is not None and not _leaves(name, doc)):
            whose = f"{owner}, which is declared" if doc is not None else "somebody else's"
            message = f"{upper.name} is on {name} ({whose}); deleting {name} would cut it off"
            refused.append(dependents(message, f"take {upper.name} off {name} first, or declare Bond/{name} again"))
    refused += [*addresses_on(bond), *machines_on(world, name)]
    harm = graph.cut(name)
    for nic in have.spec.members:
        action = Release(name=nic, master=name, **afterwards(nic, world))
        needs = (f"free:{name}",) if nic == have.spec.members[0] else ()
        gives = (f"free:{nic}", f"left:{nic}")
        steps.add("release", f"take {nic} out of {name}", action, harm, needs=needs, gives=gives)
    steps.add("delete", f"delete bond {name}", DeleteLink(name=name), harm, deletes=True, needs=(f"free:{name}",))
    return pruned(have, steps, refused or still_named(name, world))


def _leaves(bond: str, doc: Document) -> bool:
    """Does this declared resource, which stands on the bond now, not want it any more?"""
    return doc.spec.parent != bond if doc.key.kind == "Vlan" else doc.key.kind == "Bridge" and doc.spec.uplink != bond
