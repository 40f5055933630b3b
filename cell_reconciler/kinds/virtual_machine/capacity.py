"""Whether there is room for a VM: its vCPUs and memory, those of all others, and what the host may promise.

The limit is the host's cores and memory times ``Host.spec.overcommit`` (1 where nothing is said). What runs counts as
it runs, whoever made it; then what is to be started, by ``startOrder`` and name: who comes too late for the room that
is left is refused, and a smaller one after it may still fit. A VM that is about to be stopped counts until it is off.
Where the node's facts are not known, nothing is claimed. Pure; ``admission`` asks once more before a VM starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import differ, observe, power
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.node import MOST_CPUS, MOST_MEMORY, MOST_VCPUS, Load, Node, Overcommit
from cell_reconciler.model.quantities import Bytes

KIND = "VirtualMachine"
GROWING = frozenset({"spec.cpu.sockets", "spec.memory.guest"})  # what a running VM gets more of needs room


def of_spec(spec: VirtualMachineSpec) -> Load:
    """What a VM of this spec takes when it starts."""
    return Load(spec.cpu.sockets * spec.cpu.cores * spec.cpu.threads, int(spec.memory.guest))


def limit(node: Node, allowed: Overcommit) -> Load:
    """What all running VMs may have together."""
    return Load(int(_cores(node) * allowed.cpu), int(min(node.memory, MOST_MEMORY) * allowed.memory))


def _cores(node: Node) -> int:
    """Those of the CPUs that Cell uses."""
    return node.cores if node.threads <= MOST_CPUS else node.cores * MOST_CPUS // node.threads


class Objection(NamedTuple):
    """Why a VM has no room, and how it could get some."""

    message: str
    advice: str


def objection(
    name: str, load: Load, others: Mapping[str, Load], node: Node, allowed: Overcommit, host: str
) -> Objection | None:
    """The first of vCPUs and memory that does not suffice beside ``others``; None when there is room."""
    most, used = limit(node, allowed), sum(others.values(), Load())
    them = f"{len(others)} other VM{'' if len(others) == 1 else 's'}"
    if used.vcpus + load.vcpus > most.vcpus:
        cores = _cores(node)
        needed = (used.vcpus + load.vcpus) / cores
        message = (
            f"VM {name} needs {load.vcpus} vCPUs; {them} that run or are to run have {used.vcpus} of the "
            f"{most.vcpus} that {cores} cores may carry ({allowed.cpu:g} for a core)"
        )
        if needed > MOST_VCPUS:
            return Objection(message, f"stop another VM, or move one: {MOST_VCPUS} vCPUs for a core is Cell's limit")
        return Objection(message, f"stop another VM, or allow it in Host/{host}: overcommit.cpu {_up(needed)}")
    if used.memory + load.memory > most.memory:
        needed = (used.memory + load.memory) / min(node.memory, MOST_MEMORY)
        message = (
            f"VM {name} needs {_size(load.memory)}; {them} that run or are to run have {_size(used.memory)} of the "
            f"{_size(most.memory)} that {_size(node.memory)} of memory may promise ({allowed.memory:g} times)"
        )
        return Objection(message, f"stop another VM, or allow it in Host/{host}: overcommit.memory {_up(needed)}")
    return None


def _size(count: int) -> str:
    """For people: whole MiB."""
    return Bytes(count // 2**20 * 2**20).to_text()


def _up(ratio: float) -> str:
    """A ratio that suffices, in tenths."""
    return f"{-(-ratio * 10 // 1) / 10:g}"


# -- at plan -----------------------------------------------------------------------------------------------------


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


# -- one VM ------------------------------------------------------------------------------------------------------


def too_many_vcpus(spec: VirtualMachineSpec, world: World) -> Refusal | None:
    """More vCPUs than the host's QEMU gives one VM of this machine type. ``spec`` is effective."""
    node, cpu = world.live.node, spec.cpu
    most = None if node is None else node.vcpus(world.domain_type, spec.machine.type)
    sockets = cpu.sockets if cpu.max_sockets is UNSET or cpu.max_sockets is None else cpu.max_sockets
    count = max(cpu.sockets, sockets) * cpu.cores * cpu.threads
    if most is None or count <= most:
        return None
    return Refusal(
        reason="TooManyVcpus",
        message=f"{count} vCPUs (sockets or maxSockets x cores x threads); {spec.machine.type} has {most} on this host",
        advice="give the VM fewer, or run it on a host with a newer QEMU: virsh domcapabilities shows the maximum",
    )
