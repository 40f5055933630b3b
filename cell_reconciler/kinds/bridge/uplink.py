"""May this link become the uplink of this bridge, and what has to happen before?"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cell_reconciler.kinds.bridge.observe import UPLINK_KINDS, device
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.cards import declared_down, mismatch
from cell_reconciler.kinds.links.graph import graph_of, host_addresses
from cell_reconciler.kinds.links.managers import managed
from cell_reconciler.kinds.links.marks import mark_of, owner_of
from cell_reconciler.kinds.links.mtu import expected_mtu
from cell_reconciler.kinds.links.rules import declared as declared_link
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. ``name``: the declared NIC, bond or VLAN; ``device``: the port, its VLAN device if there is one.

    ``waits``: another resource of ours lets the port go first. ``moves``: addresses of the NIC that the bridge takes
    over. ``stale``: our VLAN device has another parent or VLAN than its name says and is made anew.
    """

    name: str
    device: str
    refusal: Refusal | None = None
    waits: bool = False
    moves: tuple[str, ...] = ()
    stale: bool = False


def uplink(doc: Document, world: World) -> Uplink | None:
    """None when the bridge is declared without an uplink."""
    port = device(doc.spec)
    if port is None:
        return None
    name = str(doc.spec.uplink)
    below, declared = world.live.links.get(name), declared_uplink(doc, world.documents)
    if below is None and (declared is None or declared.key.kind == "Nic"):
        return _no(doc, "NicMissing", f"{name} is not there", "plug it in, correct the name, or declare a Bond")
    if declared is None and any(link.name == name for link in graph_of(world.live).above(doc.key.name)):
        return _no(doc, "Conflict", f"{name} stands on {doc.key.name} itself", "name another uplink")
    if refusal := mismatch(name, world) or declared_down(name, world) or _mtu_fault(doc, below, declared, world):
        return Uplink(name=name, device=port, refusal=refusal)
    return _direct(doc, below, world) if doc.spec.vlan is UNSET else _vlan(doc, port, world)


def declared_uplink(doc: Document, documents: Mapping[Key, Document]) -> Document | None:
    """The document of the uplink; a NIC needs none."""
    return next(iter(declared_link(str(doc.spec.uplink), documents)), None)


def _mtu_fault(doc: Document, below: Link | None, declared: Document | None, world: World) -> Refusal | None:
    """A NIC below is raised with the bridge; what has an MTU of its own declared has to say so there."""
    if doc.spec.mtu is UNSET:
        return None
    if declared is None:
        return _mtu_below(doc, below, world)
    said = declared.spec.mtu is not UNSET
    if declared.key.kind == "Nic" and not said:
        return None
    mtu = declared.spec.mtu if said else expected_mtu(declared.key.name, world)
    if doc.spec.mtu <= mtu:
        return None
    return Refusal(
        reason="Conflict",
        message=f"mtu {doc.spec.mtu} is more than that of the uplink, {doc.spec.uplink}: {mtu}",
        advice=f"declare mtu {doc.spec.mtu} for {declared.key}",
    )


def _mtu_below(doc: Document, below: Link | None, world: World) -> Refusal | None:
    """A bond that nobody declares stays as it is; a VLAN is raised as far as its parent lets it."""
    limit = world.live.links.get(below.parent or "") if below is not None and below.kind == "vlan" else below
    if limit is None or (limit is below and limit.kind != "bond") or doc.spec.mtu <= limit.mtu:
        return None
    return Refusal(
        reason="Conflict",
        message=f"mtu {doc.spec.mtu} is more than that of {limit.name}, which no document declares: {limit.mtu}",
        advice=f"declare {limit.name} with mtu {doc.spec.mtu}",
    )


def _direct(doc: Document, link: Link | None, world: World) -> Uplink:
    name, bridge = str(doc.spec.uplink), doc.key.name
    if link is None:
        return Uplink(name=name, device=name)
    moves = tuple(a for a in host_addresses(link) if link.master != bridge)
    if refusal := _in_the_way(doc, link, moves, world):
        return Uplink(name=name, device=name, refusal=refusal)
    if link.master in (None, bridge):
        return Uplink(name=name, device=name, moves=moves)
    return _held(doc, link, world, moves)


def _in_the_way(doc: Document, link: Link, moves: tuple[str, ...], world: World) -> Refusal | None:
    name, bridge = link.name, doc.key.name
    if link.kind == "bridge":
        return Refusal(reason="Conflict", message=f"{name} is a bridge, which cannot be a port of {bridge}")
    if link.master != bridge and link.group != GROUP and (refusal := managed(name, world, f"the uplink of {bridge}")):
        return refusal
    wanted = layer3.canonical(doc.spec).addresses
    if left := [a for a in moves if a not in wanted or a in link.dynamic_addresses]:
        text = f"{name} has {', '.join(left)}: as a port of {bridge} it would be cut off"
        advice = f"declare the address on Bridge/{bridge}, or remove it from {name}"
        return Refusal(reason="Conflict", message=text, advice=advice)
    return _second_way_out(doc, world)


def _second_way_out(doc: Document, world: World) -> Refusal | None:
    ports, bridge = graph_of(world.live).ports(doc.key.name), doc.key.name
    for port in ports:
        if port.name != device(doc.spec) and port.group != GROUP and port.kind in UPLINK_KINDS:
            text = f"{port.name} is a port of {bridge} that somebody else attached: two uplinks make a loop"
            return Refusal(reason="Conflict", message=text, advice=f"take {port.name} off {bridge} first")
    return None


def _held(doc: Document, link: Link, world: World, moves: tuple[str, ...]) -> Uplink:
    """The port is in something else: ours and about to let it go, or a conflict."""
    master = world.live.links.get(link.master or "")
    kind = {"bond": "Bond", "bridge": "Bridge"}.get(master.kind or "") if master else None
    if master is None or kind is None or mark_of(master, Key(kind, master.name)) is None:
        text = f"{link.name} belongs to {link.master}, which somebody else made"
        return _no(doc, "Conflict", text, f"take it off {link.master} first")
    other = world.declared(kind, master.name)
    wants = other is not None and (
        link.name in other.spec.members if kind == "Bond" else device(other.spec) == link.name
    )
    if wants:
        return _no(doc, "Conflict", f"{link.name} belongs to {kind}/{master.name}, which is declared so")
    return Uplink(name=str(doc.spec.uplink), device=link.name, waits=True, moves=moves)


def _vlan(doc: Document, port: str, world: World) -> Uplink:
    name, vid = str(doc.spec.uplink), doc.spec.vlan
    if refusal := _second_way_out(doc, world):
        return Uplink(name=name, device=port, refusal=refusal)
    for other in graph_of(world.live).tagged.get((name, vid), ()):
        if other.name != port:
            text = f"VLAN {vid} of {name} exists as {other.name}: the kernel has each VLAN of a link once"
            return _no(doc, "Conflict", text, f"delete {other.name}, or use its bridge")
    link = world.live.links.get(port)
    if link is None:
        return Uplink(name=name, device=port)
    right = (link.kind, link.parent, link.data.get("vlan_id")) == ("vlan", name, vid)
    if mark_of(link, doc.key) is not None:
        return Uplink(name=name, device=port, stale=not right)
    return _vlan_of_others(doc, link, right, world)


def _vlan_of_others(doc: Document, link: Link, right: bool, world: World) -> Uplink:
    """A VLAN device of that name that is not ours: another bridge lets it go, it is adopted, or it is in the way."""
    name, port = str(doc.spec.uplink), link.name
    owner = owner_of(link)
    if owner is not None and owner not in world.documents:
        return Uplink(name=name, device=port, waits=True)
    if owner is not None and owner.kind == "Bridge" and device(world.documents[owner].spec) != port:
        return Uplink(name=name, device=port, waits=True)
    if right and doc.adopts and link.master in (None, doc.key.name):
        return Uplink(name=name, device=port)
    whose = str(owner) if owner else "somebody else"
    where = f", a port of {link.master}," if link.master else ""
    text = f"the VLAN device {port}{where} belongs to {whose}"
    return _no(doc, "Conflict", text, f"delete it, or annotate {doc.key} with cell/adopt if it is a port of the bridge")


def _no(doc: Document, reason: str, message: str, advice: str = "") -> Uplink:
    refusal = Refusal(reason=reason, message=message, advice=advice)
    return Uplink(name=str(doc.spec.uplink), device=device(doc.spec) or "", refusal=refusal)
