"""Changes of a running instance's CPU time, CPUs and memory: the steps, and what they do.

All of them make the instance what the definition says at that moment, which was changed first: so a pin that an adopted
VM has from others counts as well, and a growth that was interrupted is made good by the one after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import admission, differ, metadata, observe, running, xml
from cell_reconciler.kinds.virtual_machine.admission import Admission
from cell_reconciler.kinds.virtual_machine.codec import memory, tuning
from cell_reconciler.kinds.virtual_machine.live_actions import LiveAction
from cell_reconciler.model.change import Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, HostCpus
from cell_reconciler.model.mark import NAMESPACE
from cell_reconciler.model.node import Load
from cell_reconciler.model.quantities import Bytes, CpuSet

_GIVES = 3.0  # s that a guest with a balloon driver needs to give memory; one without never does
_TAKES = 20.0  # s that a guest has to take back what it gave
_PIN = re.compile(r"spec\.cpu\.pinning\.(\w+)(?:\[(\d+)\])?")
_THREADS = {"vcpus": "vcpu ", "emulator": "emulator", "ioThreads": "iothread "}


def steps(key: Key, found: differ.Differences, world: World) -> Iterator[Step]:
    """Memory first: what the balloon leaves of it is said in absolute numbers."""
    name, want = key.name, found.want.memory
    if "spec.memory.guest" in found.live:
        size, total = Bytes(found.module).to_text(), want.guest.to_text()
        text = f"plug {size} of memory into running VM {name}: {total} (the guest brings it online)"
        yield Step(key=key, op="vm.memory", text=text, action=PlugMemory(name, admission.of(world)))
    if "spec.memory.current" in found.live or ("spec.memory.guest" in found.live and want.current is not None):
        left: Any = want.current
        text = f"balloon of running VM {name}: {'leave all memory' if left is None else f'leave {left.to_text()}'}"
        yield Step(key=key, op="vm.balloon", text=text, action=Balloon(name, None if left is None else int(left)))
    pins = [match.group(1, 2) for path in found.live if (match := _PIN.match(path))]
    if pins:
        threads = tuple(f"{_THREADS[kind]}{number or ''}" for kind, number in pins if kind in _THREADS)
        rest = any(kind == "cpuset" for kind, _ in pins)
        said = ", ".join((*dict.fromkeys(threads), *(("all that has no set of its own",) if rest else ())))
        text = f"pin running VM {name}: {said}"
        yield Step(key=key, op="vm.pin", text=text, action=Pin(name, threads, rest, world.live.cpus.online))


def scheduling(key: Key, found: differ.Differences, host: HostCpus) -> Iterator[Step]:
    """Shares and limit: the last of all, since a host without the controller for it fails there."""
    shares: Any = found.want.cpu.shares or host.shares
    limit: Any = found.want.cpu.limit
    values: dict[str, int] = {}
    said = []
    if "spec.cpu.shares" in found.live:
        values["cpu_shares"] = shares
        said.append(f"{shares} shares")
    if "spec.cpu.limit" in found.live:
        values |= {"global_period": tuning.PERIOD, "global_quota": -1 if limit is None else tuning.quota(limit)}
        said.append("no limit" if limit is None else f"a limit of {limit.to_text()} CPUs")
    if values:
        text = f"CPU time of running VM {key.name}: {', '.join(said)}"
        yield Step(key=key, op="vm.scheduler", text=text, action=Schedule(key.name, values))


class PlugMemory(LiveAction, frozen=True):
    """Plug in the memory that the definition has more, module by module as it stands there, with its slot."""

    admission: Admission

    def holds(self, domain: Domain) -> bool:
        return self._lacking(domain) <= 0

    def do(self, doors: Any) -> None:
        domain: Domain = doors.libvirt.domain(self.name)
        has = observe.parsed(domain.active or "<domain/>").load
        with self.admission.roomy(doors, self.name, Load(has.vcpus, has.memory + self._lacking(domain))):
            self._plug(doors, domain)

    def _plug(self, doors: Any, domain: Domain) -> None:
        lacking = self._lacking(domain)
        there, defined = xml.parse(domain.active or "<domain/>"), xml.parse(domain.inactive or "<domain/>")
        slots = {_slot(module) for module in memory.modules(there)}
        for module in memory.modules(defined):
            size = memory.module_size(module)
            if _slot(module) not in slots and size <= lacking:
                doors.libvirt.attach_device(self.name, xml.text(module))
                lacking -= size
        if lacking > 0:  # the definition has it in its cell, where a restart puts it
            doors.libvirt.attach_device(self.name, xml.text(memory.add_module(there, lacking)))

    def _lacking(self, domain: Domain) -> int:
        defined, there = (observe.parsed(text or "<domain/>").spec for text in (domain.inactive, domain.active))
        return int(defined.memory.guest) - int(there.memory.guest)


def _slot(module: Any) -> str | None:
    address = module.find("address")
    return None if address is None else address.get("slot")


class Balloon(LiveAction, frozen=True):
    """Ask the guest to make do with ``left`` bytes (None: all that it has), and note that it was asked."""

    left: int | None

    def holds(self, domain: Domain) -> bool:
        target, raw = self._target(domain), observe.parsed(domain.active or "")
        has = int(raw.spec.memory.current or raw.spec.memory.guest)
        return raw.note.taken == int(raw.spec.memory.guest) - target and has >= target

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        target, raw = self._target(domain), observe.parsed(domain.active)
        doors.libvirt.tuning.set_balloon(self.name, target // 1024)
        note = raw.note._replace(taken=int(raw.spec.memory.guest) - target)
        doors.libvirt.tuning.set_note(self.name, metadata.text(note), NAMESPACE)
        patience = _GIVES if self._has(doors) > target else _TAKES
        what = f"the guest of VM {self.name}, which was asked to have {Bytes(target).to_text()} of memory"
        doors.waiting.until(lambda: self._has(doors) == target, patience, what)

    def _target(self, domain: Domain) -> int:
        total = int(observe.parsed(domain.active or "").spec.memory.guest)
        return total if self.left is None else min(self.left, total)

    def _has(self, doors: Any) -> int:
        domain = doors.libvirt.domain(self.name)
        there = observe.parsed(domain.active or "<domain/>").spec.memory if domain is not None else None
        return 0 if there is None else int(there.current or there.guest)


class Pin(LiveAction, frozen=True):
    """Put threads where the definition has them. ``rest``: also all threads that have no pin of their own there."""

    threads: tuple[str, ...]
    rest: bool
    online: str  # the CPUs of the host: where what is not pinned runs

    def holds(self, domain: Domain) -> bool:
        return not self._differing(domain)

    def do(self, doors: Any) -> None:
        for thread, cpus in self._differing(doors.libvirt.domain(self.name)).items():
            doors.libvirt.tuning.pin(self.name, thread, cpus.numbers)

    def _differing(self, domain: Domain) -> dict[str, CpuSet]:
        """The threads that are elsewhere, and where they belong."""
        there = observe.parsed(domain.active or "").spec
        defined = observe.parsed(domain.inactive or "<domain/>").spec.cpu.pinning
        own, have = running.pins(defined), running.pins(there.cpu.pinning)
        found = {}
        for thread in running.threads(there):
            if thread in self.threads or (self.rest and thread not in own):
                place = own.get(thread) or defined.cpuset or CpuSet(self.online)
                if place and place != (have.get(thread) or there.cpu.pinning.cpuset or CpuSet(self.online)):
                    found[thread] = place
        return found


class Schedule(LiveAction, frozen=True):
    """CPU time, by libvirt's names for it; only what is to change."""

    values: dict[str, int]

    def holds(self, domain: Domain) -> bool:
        cpu = observe.parsed(domain.active or "").spec.cpu
        have = {"cpu_shares": None if domain.unweighted else cpu.shares, "global_period": tuning.PERIOD}
        have["global_quota"] = -1 if cpu.limit is None else tuning.quota(cpu.limit)  # type: ignore[arg-type] # read: no UNSET
        return all(have[name] == value for name, value in self.values.items())

    def do(self, doors: Any) -> None:
        doors.libvirt.tuning.set_scheduler(self.name, self.values)
