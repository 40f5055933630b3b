"""What to do about a VLAN. Pure.

The order: the device (or another one in its place), then what is changed live, MTU and address before it goes up, then
what layer 3 needs. The parent comes before by its own document; a NIC that nobody declares is only brought up, since
the kernel brings no VLAN up under a link that is down (ENETDOWN).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import DeleteLink, SetData, SetLink
from cell_reconciler.kinds.links.changes import (
    Steps,
    acted_upon,
    created,
    differences,
    given_up,
    objection,
    pruned,
    settled,
    still_named,
)
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import fresh_mark, new_mark, owner_of
from cell_reconciler.kinds.vlan.actions import CreateVlan, ReplaceVlan
from cell_reconciler.kinds.vlan.dependents import against_deleting, against_replacing
from cell_reconciler.kinds.vlan.observe import GVRP, LOOSE_BINDING, REORDER_HEADER, flags_of
from cell_reconciler.kinds.vlan.parent import Parent, parent
from cell_reconciler.kinds.vlan.spec import VlanSpec
from cell_reconciler.model.change import Change, Refusal, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, Effect, fields_of
from cell_reconciler.model.live import Link

FLAGS = {"reorderHeader": REORDER_HEADER, "gvrp": GVRP, "looseBinding": LOOSE_BINDING}
IDENTITY = frozenset(f.yaml for f in fields_of(VlanSpec) if f.change == Effect.REPLACE)


def plan(want: Document | None, have: Observed | None, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``."""
    if want is None:
        if have is None:
            raise ValueError("nothing is wanted and nothing is there")
        return _delete(have, world)
    below = parent(want, world)
    if have is None:
        return _create(want, below, world)
    if refusal := _objection(want, have):
        return Change(key=want.key, verb=Verb.NONE, refused=(refusal,), position=want.position)
    return _update(want, have, below, world)


def _objection(doc: Document, have: Observed) -> Refusal | None:
    refusal, owner = objection(doc, have, "vlan"), owner_of(have.detail)
    if refusal is None or owner is None or owner.kind != "Bridge":
        return refusal
    return msgspec.structs.replace(
        refusal, advice=f"annotate {doc.key} with cell/adopt: 'true' to take it over from {owner}"
    )


def _create(doc: Document, below: Parent, world: World) -> Change:
    name, spec = doc.key.name, layer3.canonical(doc.spec)
    steps = Steps(doc.key)
    if below.refusal is not None:
        return created(doc, steps, [below.refusal], spec)
    _parent_up(steps, below)
    create = CreateVlan(
        name=name,
        kind="vlan",
        parent=spec.parent,
        mac=None if spec.mac is UNSET else str(spec.mac),
        mtu=None if spec.mtu is UNSET else spec.mtu,
        ipv6=layer3.create_ipv6(doc),
        up=True,
        alias=new_mark(doc).to_text(),
        data=_data(spec, _flags(spec, 0, FLAGS)),
    )
    needs = ((f"free:{below.waits}",) if below.waits else ()) + below.needs
    steps.add("create", f"create VLAN {_said(spec)}: {name}", create, needs=needs)
    layer3.create(steps, doc, world)
    return created(doc, steps, [], spec)


def _update(doc: Document, have: Observed, below: Parent, world: World) -> Change:
    name, spec, link = doc.key.name, layer3.canonical(doc.spec), have.detail
    fields = differences(doc, spec, have)
    todo = acted_upon(fields)
    steps, refused = Steps(doc.key), []
    replacing = bool(IDENTITY & todo)
    if below.refusal is not None and (replacing or "mtu" in todo):
        # What works goes on working; it is an objection only to what would have to change.
        refused.append(below.refusal)
    if replacing:
        refused += against_replacing(link, spec.parent, world)
    if refused:
        verb = Verb.REPLACE if replacing else Verb.NONE
        return Change(key=doc.key, verb=verb, fields=fields, refused=tuple(refused), position=doc.position)
    _parent_up(steps, below)
    if replacing:
        _replace(steps, doc, have, below, world, todo)
    else:
        _live(steps, doc, link, below, world, todo)
    if not link.up and not replacing:
        needs = tuple(token for token in below.needs if token.startswith("up:"))
        steps.add("up", f"bring {name} up", SetLink(name=name, up=True), needs=needs, gives=(f"up:{name}",))
    layer3.update(steps, doc, have, world, todo)
    change = settled(doc, have, fields, steps, refused)
    return msgspec.structs.replace(change, verb=Verb.REPLACE) if replacing else change


def _replace(steps: Steps, doc: Document, have: Observed, below: Parent, world: World, todo: frozenset[str]) -> None:
    name, spec, link = doc.key.name, doc.spec, have.detail
    action = ReplaceVlan(
        name=name,
        parent=spec.parent,
        data=_data(spec, _flags(spec, flags_of(link), FLAGS.keys() & todo)),
        alias=fresh_mark(doc, have.mark).to_text(),
        mtu=None if spec.mtu is UNSET else spec.mtu,
        mac=None if spec.mac is UNSET else str(spec.mac),
    )
    needs = ((f"free:{below.waits}",) if below.waits else ()) + below.needs
    gives = (f"free:{name}", f"free:{have.spec.parent}")
    text = f"replace {name}, VLAN {_said(have.spec)}, by VLAN {_said(spec)}"
    steps.add("replace", text, action, graph_of(world.live).cut(name), needs=needs, gives=gives)


def _live(steps: Steps, doc: Document, link: Link, below: Parent, world: World, todo: frozenset[str]) -> None:
    name, spec, blip = link.name, doc.spec, graph_of(world.live).blip(link.name)
    if flags := FLAGS.keys() & todo:
        action = SetData(name=name, kind="vlan", data={"vlan_flags": _flags(spec, flags_of(link), flags)})
        steps.add("flags", f"set {', '.join(sorted(flags))} of {name}", action, blip)
    if "mtu" in todo:
        text, raised = f"set the MTU of {name} from {link.mtu} to {spec.mtu}", SetLink(name=name, mtu=spec.mtu)
        needs = tuple(token for token in below.needs if token.startswith("mtu:"))
        steps.add("mtu", text, raised, blip, needs=needs, gives=(f"mtu:{name}",))
    if "mac" in todo:
        steps.add("mac", f"set the address of {name} to {spec.mac}", SetLink(name=name, mac=str(spec.mac)), blip)


def _delete(have: Observed, world: World) -> Change:
    steps = Steps(have.key)
    if have.mark is not None and have.mark.adopted:
        layer3.give_up(steps, have, world)
        return given_up(have, steps)
    name, link = have.key.name, have.detail
    layer3.delete(steps, have, world)
    action = DeleteLink(name=name, port_of=link.master)
    harm = graph_of(world.live).cut(name)
    gives = (f"free:{name}", f"free:{have.spec.parent}")
    needs = (f"free:{name}",)
    steps.add("delete", f"delete VLAN device {name}", action, harm, deletes=True, needs=needs, gives=gives)
    return pruned(have, steps, list(against_deleting(link, world)) or still_named(name, world))


def _parent_up(steps: Steps, below: Parent) -> None:
    for name in below.down:
        steps.add("parent-up", f"bring {name} up: a VLAN needs its parent up", SetLink(name=name, up=True))


def _data(spec: VlanSpec, flags: int) -> dict[str, object]:
    return {"vlan_id": spec.id, "vlan_protocol": spec.protocol.value, "vlan_flags": flags}


def _flags(spec: VlanSpec, have: int, ours: Collection[str]) -> int:
    """The flags of the kernel with ``ours`` of them as declared."""
    wanted = {"reorderHeader": spec.reorder_header, "gvrp": spec.gvrp, "looseBinding": spec.loose_binding}
    for name, bit in FLAGS.items():
        if name in ours:
            have = have | bit if wanted[name] else have & ~bit
    return have


def _said(spec: VlanSpec) -> str:
    """``20 on bond-VM``, ``20 (802.1ad) on bond-VM``."""
    protocol = "" if spec.protocol.value == "802.1Q" else f" ({spec.protocol.value})"
    return f"{spec.id}{protocol} on {spec.parent}"
