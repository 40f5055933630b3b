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
from cell_reconciler.kinds.nic.actions import GiveUpNic
from cell_reconciler.kinds.nic.observe import OTHERS, is_nic
from cell_reconciler.kinds.nic.spec import AdminState, NicSpec
from cell_reconciler.model.change import Cause, Change, Refusal, Risk, Verb
from cell_reconciler.model.diagnostic import Position
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
    return _update(_adopting(want), have, world)


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
    name, spec = doc.key.name, layer3.canonical(doc.spec)
    fields = differences(doc, spec, have)
    todo = acted_upon(fields)
    graph, steps = graph_of(world.live), Steps(doc.key)
    if "mtu" in todo:
        text = f"set the MTU of {name} from {have.spec.mtu} to {spec.mtu}"
        steps.add("mtu", text, SetLink(name=name, mtu=spec.mtu), graph.blip(name))
    if "adminState" in todo and spec.admin_state == AdminState.UP:
        steps.add("up", f"bring {name} up", SetLink(name=name, up=True))
    layer3.update(steps, doc, have, world, todo)
    if "adminState" in todo and spec.admin_state == AdminState.DOWN:
        risk, why = graph.cut(name)
        harm = max(risk, Risk.BLIP), why
        steps.add("down", f"take {name} down", SetLink(name=name, up=False), harm)
    change = settled(doc, have, fields, steps, [])
    if change.steps and (refusal := managed(name, world, str(doc.key))):
        return msgspec.structs.replace(change, steps=(), refused=(refusal,))
    alias = have.detail.alias if have.mark is None else None
    notes = (f"the alias {alias!r} of {name} gives way to our mark",) if alias else ()
    return msgspec.structs.replace(change, notes=notes)


def _give_up(have: Observed, world: World) -> Change:
    """What our document brought goes, the mark last; the NIC stays as it is."""
    name, steps = have.key.name, Steps(have.key)
    nothing = Document(key=have.key, spec=NicSpec(), given={}, position=Position("", 0))
    layer3.update(steps, nothing, have, world, frozenset({"addresses", "routes", "rules"}))
    steps.add("give-up", f"give up {name}: it stays as it is", GiveUpNic(name=name))
    return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=tuple(steps.steps))
