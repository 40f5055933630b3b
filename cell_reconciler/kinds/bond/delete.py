"""What it takes to delete a bond. Pure."""

from __future__ import annotations

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import DeleteLink, Release
from cell_reconciler.kinds.links.changes import Steps, given_up, pruned
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.model.change import Change, Refusal
from cell_reconciler.model.document import Document


def delete(have: Observed, world: World) -> Change:
    """Members go first; nothing goes while somebody stands on the bond."""
    if have.mark is not None and have.mark.adopted:
        return given_up(have)
    name, bond = have.key.name, have.detail
    graph = graph_of(world.live)
    steps, refused = Steps(have.key), []
    layer3.delete(steps, have, world)
    uppers = [*graph.stacked(name), *(world.live.links[m] for m in [bond.master] if m in world.live.links)]
    for upper in uppers:
        owner = owner_of(upper)
        if owner is None or (owner in world.documents and not _leaves(name, world.documents[owner])):
            whose = f"{owner}, which is declared" if owner else "somebody else's"
            refused.append(
                Refusal(
                    reason="ForeignDependents",
                    message=f"{upper.name} is on {name} ({whose}); deleting {name} would cut it off",
                    advice=f"take {upper.name} off {name} first, or declare Bond/{name} again",
                )
            )
    harm = graph.cut(name)
    for nic in have.spec.members:
        action = Release(name=nic, master=name)
        needs = (f"free:{name}",) if nic == have.spec.members[0] else ()
        steps.add("release", f"take {nic} out of {name}", action, harm, needs=needs, gives=(f"free:{nic}",))
    steps.add("delete", f"delete bond {name}", DeleteLink(name=name), harm, deletes=True, needs=(f"free:{name}",))
    return pruned(have, steps, refused)


def _leaves(bond: str, doc: Document) -> bool:
    """Does this declared resource, which stands on the bond now, not want it any more?"""
    return doc.spec.parent != bond if doc.key.kind == "Vlan" else doc.key.kind == "Bridge" and doc.spec.uplink != bond
