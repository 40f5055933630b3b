"""May this VLAN be made on this parent, and what has to happen before?"""

from __future__ import annotations

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.cards import declared_down, mismatch
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.kinds.links.mtu import expected_mtu
from cell_reconciler.kinds.links.rules import declared
from cell_reconciler.kinds.vlan.observe import tag
from cell_reconciler.kinds.vlan.rules import parent_of
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. ``waits``: the link that is this VLAN now, which lets it go first. ``down``: links to be brought up.

    ``needs``: what the document of the parent does to it before: bring it up, give it a larger MTU.
    """

    refusal: Refusal | None = None
    waits: str | None = None
    down: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def parent(doc: Document, world: World) -> Parent:
    """What a VLAN of this document finds below it."""
    name = doc.spec.parent
    below, document = world.live.links.get(name), parent_of(doc, world.documents)
    if below is None and document is None:
        return _no("NicMissing", f"{name} is not there", "plug it in, correct the name, or declare it")
    refusal = mismatch(name, world) or declared_down(name, world)
    if refusal is None:
        refusal = _mtu_fault(doc, document, world) or (_in_bond(below, world) if below is not None else None)
    if refusal is not None:
        return Parent(refusal=refusal)
    found = Parent()
    if below is not None:
        down = graph_of(world.live).down_below(name)
        needs = [f"up:{name}"] if down and document is not None else []
        needs += [f"mtu:{name}"] if doc.spec.mtu is not UNSET and doc.spec.mtu > below.mtu else []
        found = Parent(down=tuple(x for x in down if x != name or document is None), needs=tuple(needs))
    twin = _twin(doc, world)
    return found if twin is None else _taken(doc, twin, found, world)


def _taken(doc: Document, twin: Link, found: Parent, world: World) -> Parent:
    """The VLAN is another link now: somebody else's, one that is declared, or one of ours that lets it go first."""
    text = f"VLAN {doc.spec.id} of {doc.spec.parent} exists as {twin.name}: a link has each VLAN once"
    owner = owner_of(twin)
    if owner is None:
        advice = f"delete {twin.name}, or give this document its name and the annotation cell/adopt"
        return _no("Conflict", text, advice)
    if _wants(owner, twin, world):
        return _no("Conflict", f"{text}; it belongs to {owner}")
    if _circle(doc, world):
        return _no("Conflict", f"{text} ({owner}), which waits for this one", f"give {owner} another id first")
    return msgspec.structs.replace(found, waits=twin.name)


def _mtu_fault(doc: Document, document: Document | None, world: World) -> Refusal | None:
    """The kernel gives a VLAN at most its parent's MTU (vlan_dev_change_mtu)."""
    if doc.spec.mtu is UNSET or doc.spec.mtu <= (mtu := expected_mtu(doc.spec.parent, world)):
        return None
    return Refusal(
        reason="Conflict",
        message=f"mtu {doc.spec.mtu} is more than that of the parent, {doc.spec.parent}: {mtu}",
        advice=f"declare mtu {doc.spec.mtu} for {document.key if document else f'Nic/{doc.spec.parent}'}",
    )


def _in_bond(below: Link, world: World) -> Refusal | None:
    master = world.live.links.get(below.master or "")
    if master is None or master.kind != "bond":
        return None
    bond = world.declared("Bond", master.name)
    if bond is not None and below.name not in bond.spec.members:
        return None  # about to be released
    text = f"{below.name} is a member of {master.name}: what is in a bond has no other use"
    return Refusal(reason="Conflict", message=text, advice=f"make {master.name} the parent")


def _twin(doc: Document, world: World) -> Link | None:
    """The link of another name that is this VLAN now."""
    wanted = (doc.spec.parent, doc.spec.protocol.value, doc.spec.id)
    same = graph_of(world.live).tagged.get((doc.spec.parent, doc.spec.id), ())
    return next((x for x in same if x.name != doc.key.name and tag(x) == wanted), None)


def _wants(owner: Key, link: Link, world: World) -> bool:
    """Does the resource that this device belongs to still want it?"""
    doc = world.documents.get(owner)
    if doc is None:
        return False
    if owner.kind == "Vlan":
        return (doc.spec.parent, doc.spec.protocol.value, doc.spec.id) == tag(link)
    return owner.kind == "Bridge" and f"{doc.spec.uplink}.{doc.spec.vlan}" == link.name


def _circle(doc: Document, world: World) -> bool:
    """Do those who have to let go, and those on which they shall stand, lead back to this document?

    Each makes its change in one action, so in a circle none could begin.
    """
    seen: set[Key] = set()
    todo = _waits_for(doc, world)
    while todo:
        key = todo.pop()
        if key == doc.key:
            return True
        other = world.documents.get(key)
        if key in seen:
            continue
        seen.add(key)
        if other is None:  # it goes away, after all that is on it
            todo += [owner for link in graph_of(world.live).above(key.name) if (owner := owner_of(link)) is not None]
            continue
        below = other.spec.parent if key.kind == "Vlan" else getattr(other.spec, "uplink", UNSET)
        todo += [x.key for x in declared(str(below), world.documents)]
        todo += _waits_for(other, world) if key.kind == "Vlan" else []
    return False


def _waits_for(doc: Document, world: World) -> list[Key]:
    """Whose the VLAN is now."""
    twin = _twin(doc, world)
    owner = owner_of(twin) if twin is not None else None
    return [owner] if owner is not None else []


def _no(reason: str, message: str, advice: str = "") -> Parent:
    return Parent(refusal=Refusal(reason=reason, message=message, advice=advice))
