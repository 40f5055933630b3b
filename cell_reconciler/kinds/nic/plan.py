"""What to do about a NIC. Pure.

Its document always counts as an adoption, whether it is annotated or not: only the fields that it names are compared,
and its state, since a NIC that is declared is in use.
"""

from __future__ import annotations

import msgspec

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import SetLink
from cell_reconciler.kinds.links.cards import mismatch
from cell_reconciler.kinds.links.changes import Steps, acted_upon, differences, settled
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.managers import managed
from cell_reconciler.kinds.nic.actions import GiveUpNic, TakeDown
from cell_reconciler.kinds.nic.observe import OTHERS, is_nic
from cell_reconciler.kinds.nic.spec import AdminState
from cell_reconciler.model.change import Cause, Change, Refusal, Risk, Verb
from cell_reconciler.model.document import ADOPT, Document
from cell_reconciler.model.live import Link


def plan(want: Document | None, have: Observed | None, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``."""
    if want is None:
        if have is None:
            raise ValueError("nothing is wanted and nothing is there")
        return _give_up(have, world)
    if have is None:
        text, advice = f"{want.key.name} is not there", "plug it in, or correct the name"
        refusal: Refusal | None = Refusal(reason="NicMissing", message=text, advice=advice)
    else:
        refusal = _objection(have.detail) or mismatch(want.key.name, world)
    if have is None or refusal is not None:
        return Change(key=want.key, verb=Verb.NONE, refused=(refusal,) if refusal else (), position=want.position)
    return _update(want, have, world)


def _objection(link: Link) -> Refusal | None:
    if is_nic(link):
        return None
    kind = OTHERS.get(link.kind or "", "the kernel")
    whose = f"a VM's ({link.kind})" if kind == "VirtualMachine" else f"a {link.kind}"
    advice = "leave it to libvirt" if kind == "VirtualMachine" else f"declare a {kind}"
    return Refusal(reason="Conflict", message=f"{link.name} is no NIC but {whose}", advice=advice)


def _adopting(doc: Document) -> Document:
    given = doc.given.get("spec") or {}
    return msgspec.structs.replace(
        doc,
        annotations={**doc.annotations, ADOPT: "true"},
        given={**doc.given, "spec": {**given, "adminState": doc.spec.admin_state.value}},
    )


def _update(doc: Document, have: Observed, world: World) -> Change:
    name, spec, given = doc.key.name, layer3.canonical(doc.spec), doc
    doc = _adopting(doc)
    fields = differences(doc, spec, have)
    todo = acted_upon(fields)
    graph, steps = graph_of(world.live), Steps(doc.key)
    if "mtu" in todo:
        text = f"set the MTU of {name} from {have.spec.mtu} to {spec.mtu}"
        steps.add("mtu", text, SetLink(name=name, mtu=spec.mtu), graph.blip(name), gives=(f"mtu:{name}",))
    if "adminState" in todo and spec.admin_state == AdminState.UP:
        steps.add("up", f"bring {name} up", SetLink(name=name, up=True), gives=(f"up:{name}",))
    if "adminState" in todo and spec.admin_state == AdminState.DOWN:  # before its addresses: going down it loses some
        risk, why = graph.cut(name)
        harm = max(risk, Risk.BLIP), why
        steps.add("down", f"take {name} down", TakeDown(name=name), harm)
    layer3.update(steps, given, have, world, todo)  # the routes of people give way only to who says that he adopts
    change = _after_its_bond(settled(doc, have, fields, steps, []), have.detail)
    if change.steps and (refusal := managed(name, world, str(doc.key))):
        return msgspec.structs.replace(change, steps=(), refused=(refusal,))
    alias = have.detail.alias if have.mark is None else None
    notes = (f"the alias {alias!r} of {name} gives way to our mark",) if alias else ()
    return msgspec.structs.replace(change, notes=notes)


def _after_its_bond(change: Change, link: Link) -> Change:
    """A bond that lets the NIC go takes it down, and with that routes and IPv6 addresses that are there already."""
    if link.master is None or not change.steps:
        return change
    first = msgspec.structs.replace(change.steps[0], needs=(*change.steps[0].needs, f"left:{link.name}"))
    return msgspec.structs.replace(change, steps=(first, *change.steps[1:]))


def _give_up(have: Observed, world: World) -> Change:
    """What our document brought goes, the mark last; the NIC stays as it is."""
    name, steps = have.key.name, Steps(have.key)
    layer3.give_up(steps, have, world)
    steps.add("give-up", f"give up {name}: it stays as it is", GiveUpNic(name=name))
    return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=tuple(steps.steps))
