"""The devices of the host in a VM's spec: which it asks for, and how the XML's addresses read in a document's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from cell_reconciler.kinds.virtual_machine.codec import absent, said
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec


class Request(NamedTuple):
    """A function that a document leaves to us: by vendor and device, or as any VF of a card."""

    name: str  # of the device
    ids: str | None = None
    nic: str | None = None

    @property
    def text(self) -> str:
        return f"PCI device {self.ids}" if self.nic is None else f"virtual function of {self.nic}"


def handed(spec: VirtualMachineSpec) -> bool:
    """Does the VM get any device of the host?"""
    return bool(spec.host_devices) or any(not absent(nic.sriov) for nic in spec.interfaces)


def guarded(spec: VirtualMachineSpec) -> bool:
    """Does it get anything that may be the host's own, disks included?"""
    return handed(spec) or any(disk.source and disk.source.block for disk in spec.disks)


def needed(spec: VirtualMachineSpec) -> bool:
    """Is anything to be asked of the host's devices when the VM is planned?"""
    return guarded(spec) or not absent(spec.memory.hugepages)


def names(spec: VirtualMachineSpec) -> Iterator[str]:
    """Of all devices of the host that the VM gets."""
    yield from (device.name for device in spec.host_devices)
    yield from (nic.name for nic in spec.interfaces if not absent(nic.sriov))


def requests(spec: VirtualMachineSpec) -> Iterator[Request]:
    """Everything that is left to us, in the order of the document."""
    for device in spec.host_devices:
        if (pci := said(device.pci)) and (ids := said(pci.id)):
            yield Request(device.name, ids=ids)
    for nic in spec.interfaces:
        if (sriov := said(nic.sriov)) and (card := said(sriov.nic)):
            yield Request(nic.name, nic=card)


def functions(spec: VirtualMachineSpec, chosen: Mapping[str, str]) -> dict[str, str]:
    """Name of a device → address of the PCI function that it is."""
    named: list[tuple[str, Any]] = [(d.name, d.pci) for d in spec.host_devices if not absent(d.pci)]
    named += [(nic.name, nic.sriov) for nic in spec.interfaces if not absent(nic.sriov)]
    found = {name: chosen.get(name) if absent(which.address) else which.address for name, which in named}
    return {name: address for name, address in found.items() if address}


def in_words_of(device: Any, want: Any, names: Mapping[str, str]) -> Any:
    """A device of the XML as the document puts it: by its ids where the function is the chosen one."""
    if want is None or absent(device.pci) or absent(want.pci) or absent(want.pci.id):
        return device
    if device.pci.address != names.get(want.name):
        return device
    return msgspec.structs.replace(device, pci=msgspec.structs.replace(device.pci, address=None, id=want.pci.id))


def function_in_words_of(nic: Any, want: Any, names: Mapping[str, str]) -> Any:
    """Likewise, an interface on a virtual function."""
    if want is None or absent(want.sriov) or absent(want.sriov.nic) or nic.sriov.address != names.get(want.name):
        return nic
    return msgspec.structs.replace(nic, sriov=msgspec.structs.replace(nic.sriov, address=None, nic=want.sriov.nic))


def named(spec: VirtualMachineSpec, ours: frozenset[str]) -> Iterator[Any]:
    """The devices with names for a document: ``host0``, ``host1`` … for those that have none."""
    taken = set(ours)
    for device in spec.host_devices:
        if device.name in ours:
            yield device
            continue
        name = next(f"host{i}" for i in range(len(taken) + 1) if f"host{i}" not in taken)
        taken.add(name)
        yield msgspec.structs.replace(device, name=name)
