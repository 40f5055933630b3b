"""What bandwidth and filter of an interface may not say: libvirt takes it, and the VM does not start then."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine.spec.interface import Interface
from cell_reconciler.model.fields import UNSET

_ADDRESSES = {"IP": ipaddress.IPv4Address, "IPV6": ipaddress.IPv6Address}  # variables of libvirt's own filters


def check(nic: Interface, pointer: str) -> Iterator[Problem]:
    """Every rule that the interface at ``pointer`` breaks."""
    yield from _bandwidth(nic, f"{pointer}/bandwidth")
    if nic.filter is UNSET:
        return
    for name, values in nic.filter.parameters.items():
        for index, value in enumerate(values):
            try:
                _ADDRESSES.get(name, str)(value)
            except ValueError:
                where, message = f"{pointer}/filter/parameters/{name}/{index}", f"{value!r} is no address for {name}"
                yield Problem(pointer=where, rule="vm-filter-address", message=message)


def _bandwidth(nic: Interface, pointer: str) -> Iterator[Problem]:
    limits = nic.bandwidth
    if limits is UNSET:
        return
    if limits.inbound is UNSET and limits.outbound is UNSET:
        message = "bandwidth names no direction"
        yield Problem(pointer=pointer, rule="vm-bandwidth", message=message, advice="leave bandwidth out")
    for way, rate in (("inbound", limits.inbound), ("outbound", limits.outbound)):
        if rate is not UNSET and rate.peak is not UNSET and rate.peak < rate.average:
            message = f"a peak of {rate.peak} kB/s is below the average of {rate.average}"
            yield Problem(pointer=f"{pointer}/{way}/peak", rule="vm-bandwidth", message=message)
