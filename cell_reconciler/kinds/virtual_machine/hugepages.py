"""Huge pages: a VM whose memory is made of them starts only when the host has enough free ones set aside."""

from __future__ import annotations

from cell_reconciler.kinds.virtual_machine import observe
from cell_reconciler.kinds.virtual_machine.codec import absent, said
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.host_devices import HostDevices, Pages
from cell_reconciler.model.live import Domain
from cell_reconciler.model.quantities import Bytes

_DEFAULT = 2 * 2**20  # what vm.nr_hugepages counts on x86, unless the kernel was booted with another default


def shortage(vm: str, spec: VirtualMachineSpec, devices: HostDevices, ours: int = 0) -> Refusal | None:
    """Why there are not enough; None when there are, or none are needed. ``ours``: bytes that it gives back before."""
    asked = said(spec.memory.hugepages)
    if asked is None:
        return None
    size = int(asked.page_size)
    needed = -(-int(spec.memory.guest) // size)
    pages = devices.hugepages.get(size, Pages(total=0, free=0))
    free = pages.free + ours // size
    if free >= needed:
        return None
    kind, total = Bytes(size).to_text(), pages.total
    message = f"VM {vm} needs {needed} free huge pages of {kind}; {free} of the host's {total} are free"
    return Refusal(reason="HugepagesMissing", message=message, advice=_advice(size, total + needed - free, devices))


def _advice(size: int, total: int, devices: HostDevices) -> str:
    if size not in devices.hugepages:
        return f"this kernel has no pages of {Bytes(size).to_text()}: take another pageSize"
    boot = f"hugepagesz={size >> 20}M hugepages={total}"
    if size == _DEFAULT:
        return f"set them aside: sysctl -w vm.nr_hugepages={total}, and in /etc/sysctl.d for the next boot"
    path = f"/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB/nr_hugepages"
    return f"set them aside: echo {total} > {path}, or boot with {boot}"


def held(domain: Domain, want: VirtualMachineSpec) -> int:
    """Bytes of huge pages, of the size that is wanted, that the running instance has."""
    if domain.active is None or absent(want.memory.hugepages):
        return 0
    memory = observe.parsed(domain.active).spec.memory
    return int(memory.guest) if memory.hugepages == want.memory.hugepages else 0
