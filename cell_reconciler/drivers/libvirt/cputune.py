"""CPU time, pinning and I/O threads, in libvirt's words.

libvirt shows what it was told, not what counts: a VM with shares starts on a host without cgroups as if there were
some, so that is asked for. No call here waits for a guest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
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


class Tuning:
    """CPU time, pins, I/O threads and balloon of running instances.

    Raises what every change of one raises: see ``LibvirtDoor``.
    """

    def __init__(self, live: Callable[[str, str, str, Callable[[Any, int], Any]], None]) -> None:
        self._live = live

    def set_scheduler(self, name: str, values: dict[str, int]) -> None:
        """``cpu_shares``, ``global_period`` and ``global_quota`` (-1: none)."""

        def change(handle: Any, live: int) -> None:
            handle.setSchedulerParametersFlags(values, live)

        self._live(name, "set CPU shares and limit of", "setSchedulerParameters", change)

    def pin(self, name: str, thread: str, cpus: Collection[int]) -> None:
        """Let a thread (``vcpu 0``, ``iothread 1``, ``emulator``) run on these CPUs only."""
        cpu_map = tuple(number in cpus for number in range(max(cpus) + 1))
        kind, _, number = thread.partition(" ")

        def change(handle: Any, live: int) -> None:
            if kind == "vcpu":
                handle.pinVcpuFlags(int(number), cpu_map, live)
            elif kind == "iothread":
                handle.pinIOThread(int(number), cpu_map, live)
            else:
                handle.pinEmulator(cpu_map, live)

        self._live(name, f"pin {thread} of", "pin", change)

    def add_io_thread(self, name: str, number: int) -> None:
        """One more; it runs where the instance has everything that has no pin of its own."""
        self._live(name, "add an I/O thread to", "addIOThread", lambda handle, live: handle.addIOThread(number, live))

    def remove_io_thread(self, name: str, number: int) -> None:
        """Refused by libvirt while a disk or a controller is served by it."""
        self._live(
            name, "remove an I/O thread from", "delIOThread", lambda handle, live: handle.delIOThread(number, live)
        )

    def set_balloon(self, name: str, kib: int) -> None:
        """Ask the guest to make do with this much memory; it does so later, or not at all."""
        self._live(name, "set the balloon of", "setMemory", lambda handle, live: handle.setMemoryFlags(kib, live))

    def set_note(self, name: str, xml: str, namespace: str) -> None:
        """Our element in the metadata of the running instance; the definition has its own."""

        def change(handle: Any, live: int) -> None:
            import libvirt

            handle.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, xml, "cell", namespace, live)

        self._live(name, "note something in", "setMetadata", change)
