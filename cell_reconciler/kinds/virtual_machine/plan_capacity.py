"""Who gets the room that is left on the host: the VMs that are to start, and those that get more while they run.

By ``startOrder`` and name; see ``capacity`` for what room is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import differ, observe, power
from cell_reconciler.kinds.virtual_machine.capacity import Objection, objection, of_spec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.node import Load, Node

KIND = "VirtualMachine"
GROWING = frozenset({"spec.cpu.sockets", "spec.memory.guest"})  # what a running VM gets more of needs room


class _Admitted(NamedTuple):
    world: World
    loads: dict[str, Load]  # of what runs and of what is to start and fits
    refused: dict[str, Objection]


_last: list[_Admitted] = []  # of the world that was asked about last: each of its VMs asks


def starting(doc: Document, world: World) -> Refusal | None:
    """Why a VM that is to be started, or to be restarted otherwise than it runs, has no room."""
    node = world.live.node
    if node is None:
        return None
    admitted = _admitted(world, node)
    found = admitted.refused.get(doc.key.name)
    if found is None:
        load = _wanted(doc, world)
        others = {name: load for name, load in admitted.loads.items() if name != doc.key.name}
        found = objection(doc.key.name, load, others, node, world.overcommit, world.host)
    return None if found is None else Refusal(reason="NoRoom", message=found.message, advice=found.advice)


def _admitted(world: World, node: Node) -> _Admitted:
    for known in _last:
        if known.world is world:
            return known
    domains = world.live.domains.values()
    loads = {domain.name: observe.parsed(domain.active).load for domain in domains if domain.active is not None}
    refused: dict[str, Objection] = {}
    coming = sorted((doc.spec.start_order, doc.key.name, doc) for doc in _coming(world))
    for _, name, doc in coming:
        load = _wanted(doc, world)
        others = loads if name not in loads else {other: has for other, has in loads.items() if other != name}
        found = objection(name, load, others, node, world.overcommit, world.host)
        if found is None:
            loads[name] = load
        else:
            refused[name] = found
    _last[:] = [_Admitted(world, loads, refused)]
    return _last[0]


def _coming(world: World) -> Iterator[Document]:
    """The VMs that are off and that their documents want to run, and those that get more while they run."""
    for key, doc in world.documents.items():
        if key.kind == KIND and (comes(doc, world) or _grows(doc, world)):
            yield doc


def _grows(doc: Document, world: World) -> bool:
    domain = world.live.domains.get(doc.key.name)
    if domain is None or domain.active is None or domain.inactive is None:
        return False
    has, load = observe.parsed(domain.active).load, _wanted(doc, world)
    if load.vcpus <= has.vcpus and load.memory <= has.memory:
        return False
    mark = observe.mark_of(domain)
    ours = mark is not None or doc.adopts
    return ours and bool(GROWING & differ.differences(doc, domain, mark, world).live.keys())


def comes(doc: Document, world: World) -> bool:
    """Is it off, and does its document want it to run?"""
    domain = world.live.domains.get(doc.key.name)
    if domain is None:
        return power.starts_when_created(doc.spec.run_strategy)
    mark = observe.mark_of(domain)
    if (mark is None and not doc.adopts) or domain.active is not None or power.unsettled(domain) is not None:
        return False
    due = domain.inactive is not None and observe.parsed(domain.inactive).note.start_due
    return power.decide(power.strategy(doc, mark), domain, due) == power.Power.START


def _wanted(doc: Document, world: World) -> Load:
    """What it will take: as declared, or as it is defined where the document need not say (an adopted one)."""
    domain = world.live.domains.get(doc.key.name)
    mark = None if domain is None else observe.mark_of(domain)
    if domain is not None and domain.inactive is not None and (mark is None or mark.adopted):
        return observe.parsed(domain.inactive).load
    return of_spec(doc.spec)
