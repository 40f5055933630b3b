"""What a running instance has of CPU time, CPUs and memory, in the words of the document.

Its XML tells what libvirt was told, one way or another: a pin of every single vCPU where the document has one set for
all, the shares that every process has where the document has none, the memory that the guest has and not that which it
was asked to keep. Here each is put as the document would, where that means the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from cell_reconciler.kinds.virtual_machine import devices
from cell_reconciler.kinds.virtual_machine.codec import io_threads
from cell_reconciler.kinds.virtual_machine.codec import memory as memories
from cell_reconciler.kinds.virtual_machine.metadata import Note
from cell_reconciler.kinds.virtual_machine.spec import Cpu, Memory, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.tuning import IoThreadPin, Pinning, VcpuPin
from cell_reconciler.model.live import Domain, HostCpus
from cell_reconciler.model.quantities import Bytes, CpuSet

EMULATOR = "emulator"


def in_words_of(
    spec: VirtualMachineSpec, want: VirtualMachineSpec | None, note: Note, domain: Domain, host: HostCpus
) -> VirtualMachineSpec:
    """``spec`` as read from the active XML; ``note`` is that of the running instance."""
    cpu = msgspec.structs.replace(spec.cpu, shares=_shares(spec.cpu, want, domain, host))
    if want is not None:
        pinning = _pinning(spec, want.cpu.pinning, CpuSet(host.online))
        cpu = msgspec.structs.replace(cpu, pinning=pinning)
    memory = msgspec.structs.replace(spec.memory, current=_current(spec.memory, want, note.taken))
    return msgspec.structs.replace(spec, cpu=cpu, memory=memory)


def _shares(cpu: Cpu, want: VirtualMachineSpec | None, domain: Domain, host: HostCpus) -> Any:
    have: Any = None if domain.unweighted else cpu.shares
    if want is None or host.shares is None or domain.unweighted:
        return have
    wanted: Any = want.cpu.shares
    return wanted if (have or host.shares) == (wanted or host.shares) else have


def _current(have: Memory, want: VirtualMachineSpec | None, taken: int | None) -> Any:
    """What the guest was asked to keep. Less than that nobody but its host can have made it keep."""
    total, actual = int(have.guest), int(have.current or have.guest)
    asked = min(actual, total - taken) if taken is not None else actual
    wanted: Any = None if want is None else want.memory.current
    if wanted is not None and asked == total <= wanted:  # the rest of its memory comes with the next start
        return wanted
    return Bytes(asked) if asked < total else None


# -- pinning -----------------------------------------------------------------------------------------------------


def threads(spec: VirtualMachineSpec) -> Iterator[str]:
    """The threads of an instance that can be pinned, as ``drivers`` call them."""
    most: Any = spec.cpu.max_sockets
    yield from (f"vcpu {n}" for n in range(most * spec.cpu.cores * spec.cpu.threads))
    yield EMULATOR
    yield from (f"iothread {n + 1}" for n in range(spec.io_threads))


def pins(pinning: Pinning) -> dict[str, CpuSet]:
    """The threads that have a set of their own."""
    found = {f"vcpu {pin.vcpu}": pin.cpuset for pin in pinning.vcpus}
    found |= {f"iothread {pin.io_thread}": pin.cpuset for pin in pinning.io_threads}
    emulator: Any = pinning.emulator
    return found | ({} if emulator is None else {EMULATOR: emulator})


def _pinning(spec: VirtualMachineSpec, want: Pinning, everywhere: CpuSet) -> Pinning:
    """The pins that count, with ``cpuset`` as wanted where all threads that have no pin of their own are there."""
    have, wanted, there = spec.cpu.pinning, pins(want), list(threads(spec))
    own, base, cpuset = pins(have), have.cpuset or everywhere, have.cpuset
    where = {thread: own.get(thread, base) for thread in there}
    wanted_base: Any = want.cpuset or everywhere
    if all(where[thread] == wanted_base for thread in there if thread not in wanted):
        base, cpuset = wanted_base, want.cpuset
    shown = {thread: cpus for thread, cpus in where.items() if thread in wanted or cpus not in (base, wanted_base)}
    shown |= {thread: cpus for thread, cpus in wanted.items() if thread not in where}  # it comes later
    emulator: Any = shown.get(EMULATOR)
    return Pinning(
        cpuset=cpuset,
        vcpus=tuple(VcpuPin(vcpu=n, cpuset=c) for n, c in _numbered(shown, "vcpu")),
        emulator=emulator,
        io_threads=tuple(IoThreadPin(io_thread=n, cpuset=c) for n, c in _numbered(shown, "iothread")),
    )


def _numbered(shown: dict[str, CpuSet], kind: str) -> list[tuple[int, CpuSet]]:
    return sorted((int(t.split()[1]), cpus) for t, cpus in shown.items() if t.startswith(f"{kind} "))


# -- memory ------------------------------------------------------------------------------------------------------


def module(want: VirtualMachineSpec, running: VirtualMachineSpec, active: Any) -> int:
    """Bytes that a memory module would have to have to make the instance as wanted; 0 when none can be plugged.

    ``active``: the tree of the running instance.
    """
    slots, most = active.find("maxMemory"), memories.size_at(active, "maxMemory")
    more = int(want.memory.guest) - int(running.memory.guest)
    if slots is None or more <= 0 or int(want.memory.guest) > most:
        return 0
    free = int(slots.get("slots") or 0) - len(active.findall("devices/memory"))
    return more if free > 0 and not more % memories.step(active) else 0


# -- I/O threads -------------------------------------------------------------------------------------------------


def held(want: VirtualMachineSpec, active: Any, defined: Any, leaving: Collection[str]) -> set[int]:
    """The I/O threads that are to go and serve a device that stays. ``leaving``: names of what is unplugged.

    ``active`` and ``defined``: the trees of the instance and of its definition.
    """
    going = io_threads.numbers(active) - io_threads.numbers(defined, want.io_threads)
    serving = {number for number, device in io_threads.users(active) if devices.alias(device) not in leaving}
    return going & serving
