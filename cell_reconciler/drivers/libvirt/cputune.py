"""CPU time and pinning, in libvirt's words.

libvirt shows what it was told, not what counts: a VM with shares starts on a host without cgroups as if there were
some, so that is asked for. No call here waits for a guest.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from cell_reconciler.drivers.libvirt import failures
from cell_reconciler.model.live import HostCpus
from cell_reconciler.model.quantities import CpuSet

_CGROUPS = Path("/proc/cgroups")
_SHARES = {True: 1024, False: 100}  # cgroup v1, v2: what the kernel gives a group of processes


def host_cpus(connection: Any) -> HostCpus:
    """The CPUs that are online, and the shares of a VM that was given none."""
    import libvirt

    try:
        _, online, _ = connection.getCPUMap()
    except libvirt.libvirtError as error:
        if failures.lost(error):
            raise
        return HostCpus()  # a hypervisor that does not tell
    numbers = CpuSet.of(number for number, is_up in enumerate(online) if is_up)
    return HostCpus(online=str(numbers), shares=_SHARES[_version_1()])


def _version_1() -> bool:
    """Is the controller cpu one of cgroup v1? There it has a hierarchy of its own, in v2 number 0 (or no line)."""
    try:
        lines = [line.split() for line in _CGROUPS.read_text().splitlines()]
    except OSError:  # a kernel without v1
        return False
    return any(line[0] == "cpu" and line[1] != "0" for line in lines if len(line) > 1)


def unweighted(handle: Any, active: str) -> bool:
    """Has a running instance shares that count for nothing, for want of a cgroup?"""
    if "<shares>" not in active:
        return False
    import libvirt

    try:
        handle.schedulerType()
    except libvirt.libvirtError as error:
        if error.get_error_code() != failures.OPERATION_INVALID:
            raise
        return True
    return False


def pin(handle: Any, thread: str, cpus: Collection[int], flags: int) -> None:
    """``thread``: ``vcpu 0``, ``iothread 1`` or ``emulator``."""
    cpu_map = tuple(number in cpus for number in range(max(cpus) + 1))
    kind, _, number = thread.partition(" ")
    if kind == "vcpu":
        handle.pinVcpuFlags(int(number), cpu_map, flags)
    elif kind == "iothread":
        handle.pinIOThread(int(number), cpu_map, flags)
    else:
        handle.pinEmulator(cpu_map, flags)
