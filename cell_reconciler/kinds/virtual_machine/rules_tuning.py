"""What CPU time, pinning, NUMA cells and memory of a VM cannot say together: libvirt takes much of it and then fails at
the start, or does something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine.codec.memory import STEP
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.tuning import Numa, NumaMode
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.quantities import Bytes, CpuSet

_MIB = 2**20
MOST_MEMORY = 16 * 2**40
_LEAST_LIMIT = 10  # thousandths: 1 ms in 100 ms, the kernel's least quota
_MOST_SHARES = 10_000  # cgroup v2


def check(spec: VirtualMachineSpec) -> Iterator[Problem]:
    """Every rule that they break, and advice."""
    yield from _time(spec)
    yield from _pinning(spec)
    yield from _numa(spec)
    yield from _max_guest(spec)
    yield from _current(spec)


def vcpus(spec: VirtualMachineSpec) -> int:
    """The vCPUs that the VM has or can get."""
    cpu = spec.cpu
    return max(cpu.sockets, 0 if cpu.max_sockets is UNSET else cpu.max_sockets) * cpu.cores * cpu.threads


def _time(spec: VirtualMachineSpec) -> Iterator[Problem]:
    limit, shares = spec.cpu.limit, spec.cpu.shares
    if limit is not UNSET and limit < _LEAST_LIMIT:
        message = f"a limit of {limit.to_text()} CPUs is less than the kernel's least, {_LEAST_LIMIT}m"
        yield _problem("/spec/cpu/limit", "vm-cpu-limit", message, "leave limit out for no limit")
    if shares is not UNSET and shares > _MOST_SHARES:
        message = f"{shares} shares are only to be had with cgroups v1; v2 has at most {_MOST_SHARES}"
        advice = "shares are relative: give all VMs fewer"
        yield _problem("/spec/cpu/shares", "vm-shares", message, advice, Severity.WARNING)


def _pinning(spec: VirtualMachineSpec) -> Iterator[Problem]:
    pinning, most = spec.cpu.pinning, vcpus(spec)
    here = "/spec/cpu/pinning"
    for index, pin in enumerate(pinning.vcpus):
        if pin.vcpu >= most:
            message = f"there is no vCPU {pin.vcpu}: they are 0 to {most - 1} (sockets or maxSockets x cores x threads)"
            yield _problem(f"{here}/vcpus/{index}/vcpu", "vm-pinning", message)
    for index, thread in enumerate(pinning.io_threads):
        if thread.io_thread > spec.io_threads:
            message = f"there is no I/O thread {thread.io_thread}: ioThreads is {spec.io_threads}"
            yield _problem(f"{here}/ioThreads/{index}/ioThread", "vm-pinning", message)
    yield from _twice(f"{here}/vcpus", "vCPU", [pin.vcpu for pin in pinning.vcpus])
    yield from _twice(f"{here}/ioThreads", "I/O thread", [pin.io_thread for pin in pinning.io_threads])


def _twice(pointer: str, what: str, numbers: list[int]) -> Iterator[Problem]:
    for number, count in Counter(numbers).items():
        if count > 1:
            yield _problem(pointer, "vm-pinning", f"{what} {number} is pinned {count} times")


# -- NUMA --------------------------------------------------------------------------------------------------------


def _numa(spec: VirtualMachineSpec) -> Iterator[Problem]:
    cells, here = spec.cpu.numa.cells, "/spec/cpu/numa/cells"
    if not cells:
        return
    if sorted(cell.cell for cell in cells) != list(range(len(cells))):
        message = f"{len(cells)} cells are numbered 0 to {len(cells) - 1}, each once"
        yield _problem(here, "vm-numa-cells", message)
    yield from _cell_cpus(spec.cpu.numa, vcpus(spec))
    for index, cell in enumerate(cells):
        if cell.memory % _MIB or not cell.memory:
            yield _problem(f"{here}/{index}/memory", "vm-numa-memory", "memory of a cell is whole MiB")
        if cell.host_nodes is UNSET and cell.mode != NumaMode.STRICT:
            message = f"mode {cell.mode.value} says nothing without hostNodes"
            yield _problem(f"{here}/{index}/mode", "vm-numa-mode", message)
    modes = {cell.mode == NumaMode.RESTRICTIVE for cell in cells if cell.host_nodes is not UNSET}
    if len(modes) > 1:
        message = "libvirt has mode restrictive for all cells that name hostNodes, or for none"
        yield _problem(here, "vm-numa-mode", message)
    yield from _cell_memory(spec)


def _cell_cpus(numa: Numa, most: int) -> Iterator[Problem]:
    seen: Counter[int] = Counter()
    for cell in numa.cells:
        seen.update(cell.cpus.numbers)
    wrong = {
        "in no cell": CpuSet.of(n for n in range(most) if n not in seen),
        "in more than one cell": CpuSet.of(n for n, count in seen.items() if count > 1),
        f"not there (they are 0 to {most - 1})": CpuSet.of(n for n in seen if n >= most),
    }
    for what, numbers in wrong.items():
        if numbers:
            advice = "the cells hold every vCPU once, also those that maxSockets lets plug in"
            yield _problem("/spec/cpu/numa/cells", "vm-numa-cpus", f"vCPUs {numbers} are {what}", advice)


def _cell_memory(spec: VirtualMachineSpec) -> Iterator[Problem]:
    total, memory = sum(cell.memory for cell in spec.cpu.numa.cells), spec.memory
    said = f"the cells have {Bytes(total).to_text()} together, memory.guest is {memory.guest.to_text()}"
    if memory.max_guest is UNSET and total != memory.guest:
        yield _problem("/spec/cpu/numa/cells", "vm-numa-memory", said, "make them equal")
    elif total > memory.guest:
        advice = "what memory.guest has more than the cells is plugged in; the cells never have more"
        yield _problem("/spec/cpu/numa/cells", "vm-numa-memory", said, advice)


# -- memory ------------------------------------------------------------------------------------------------------


def _max_guest(spec: VirtualMachineSpec) -> Iterator[Problem]:
    most, guest, pages = spec.memory.max_guest, spec.memory.guest, spec.memory.hugepages
    here = "/spec/memory/maxGuest"
    if most is UNSET:
        return
    if most % _MIB or not guest <= most <= MOST_MEMORY:
        message = f"maxGuest is whole MiB, from memory.guest ({guest.to_text()}) to 16TiB"
        yield _problem(here, "vm-max-guest", message)
        return
    step = STEP if pages is UNSET else max(STEP, int(pages.page_size))
    at_start: int = sum(cell.memory for cell in spec.cpu.numa.cells) or min(guest, most - step)
    if at_start >= most or at_start <= 0:
        message = f"maxGuest {most.to_text()} leaves nothing to plug: the VM starts with all of it"
        yield _problem(here, "vm-max-guest", message, f"leave it out, or make it {Bytes(step).to_text()} more")
    if pages is not UNSET and (most % pages.page_size or guest % pages.page_size):
        message = f"huge pages of {pages.page_size.to_text()} back whole pages: of memory.guest, and of what is plugged"
        yield _problem(here, "vm-max-guest", message, "make both whole pages")
    elif (most - guest) % step:
        message = f"memory is plugged by whole {Bytes(step).to_text()}; a growth to maxGuest would wait for a restart"
        yield _problem(here, "vm-max-guest-step", message, "make the difference whole steps", Severity.WARNING)


def _current(spec: VirtualMachineSpec) -> Iterator[Problem]:
    memory, here = spec.memory, "/spec/memory/current"
    current: Any = memory.current
    if current is UNSET:
        return
    if current % _MIB or not 0 < current <= memory.guest:
        message = f"current is whole MiB, at most memory.guest ({memory.guest.to_text()})"
        yield _problem(here, "vm-memory-current", message)
    if not memory.balloon:
        message = "without a balloon nothing can be taken from the guest"
        yield _problem(here, "vm-memory-current", message, "leave balloon out, or current")
    if memory.hugepages is not UNSET:
        message = "the balloon takes small pages, which gives the host no huge page back"
        yield _problem(here, "vm-current-hugepages", message, "make memory.guest smaller instead", Severity.WARNING)


def _problem(pointer: str, rule: str, message: str, advice: str = "", severity: Severity = Severity.ERROR) -> Problem:
    return Problem(pointer=pointer, rule=rule, message=message, advice=advice, severity=severity)
