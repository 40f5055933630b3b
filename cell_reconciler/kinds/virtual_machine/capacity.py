"""Whether there is room for a VM: its vCPUs and memory, those of all others, and what the host may promise.

The limit is the host's cores and memory times ``Host.spec.overcommit`` (1 where nothing is said). What runs counts as
it runs, whoever made it; then what is to be started, by ``startOrder`` and name: who comes too late for the room that
is left is refused, and a smaller one after it may still fit. A VM that is about to be stopped counts until it is off.
Where the node's facts are not known, nothing is claimed. Pure; ``admission`` asks once more before a VM starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.node import MOST_CPUS, MOST_MEMORY, MOST_VCPUS, Load, Node, Overcommit
from cell_reconciler.model.quantities import Bytes


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
