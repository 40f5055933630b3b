"""What is refused of CPUs before anything is done: libvirt defines it, and then cannot start the VM."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import differ, running
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.quantities import CpuSet


def refusals(want: VirtualMachineSpec, world: World) -> Iterator[Refusal]:
    """Pins to CPUs that the host does not have."""
    online = CpuSet(world.live.cpus.online)
    everything = {"what has no set of its own": want.cpu.pinning.cpuset, **running.pins(want.cpu.pinning)}
    for thread, cpus in everything.items():
        absent = CpuSet.of(CpuSet(cpus or "").numbers - online.numbers)
        if online and absent:
            message = f"{thread} is pinned to CPU {absent}, and this host has {online}"
            advice = "pin it to others; spec.perHost can say which on each host"
            yield Refusal(reason="NoSuchCpu", message=message, advice=advice)


def changed(found: differ.Differences, world: World) -> Iterator[Refusal]:
    """The same, where pins change."""
    if any(path.startswith("spec.cpu.pinning.") for path in found.define):
        yield from refusals(found.want, world)
