"""What a document may not say about devices of the host, whichever host that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine.codec import absent, said
from cell_reconciler.kinds.virtual_machine.spec import HostDevice, Interface, VirtualMachineSpec
from cell_reconciler.model.diagnostic import Severity

# What an interface on a virtual function can have; everything else is a setting of a tap or of an emulated card.
_OF_FUNCTIONS = frozenset({"name", "sriov", "vlan", "mac", "boot_order"})


def check(spec: VirtualMachineSpec) -> Iterator[Problem]:
    """Every rule that host devices break, and that a VM with them stays where it is."""
    for index, device in enumerate(spec.host_devices):
        yield from _host_device(device, f"/spec/hostDevices/{index}")
    for index, nic in enumerate(spec.interfaces):
        yield from _interface(nic, f"/spec/interfaces/{index}")
    first = next(iter(_handed(spec)), None)
    if first is not None:
        message = "a VM that has devices of its host cannot migrate to another one"
        advice = "plan for its downtime when the host is maintained"
        yield Problem(
            pointer=first,
            rule="vm-host-device-migration",
            message=message,
            advice=advice,
            severity=Severity.WARNING,
        )


def claims(spec: VirtualMachineSpec) -> Iterator[tuple[str, str]]:
    """What belongs to one VM only: text and pointer."""
    for index, device in enumerate(spec.host_devices):
        pointer = f"/spec/hostDevices/{index}"
        if (pci := said(device.pci)) and said(pci.address):
            yield f"PCI device {pci.address}", pointer
        if mdev := said(device.mdev):
            yield f"mediated device {mdev.uuid}", pointer
        if usb := said(device.usb):
            yield f"USB device {said(usb.id) or f'{usb.bus}.{usb.device}'}", pointer
    for index, nic in enumerate(spec.interfaces):
        if (sriov := said(nic.sriov)) and said(sriov.address):
            yield f"PCI device {sriov.address}", f"/spec/interfaces/{index}/sriov"


def _handed(spec: VirtualMachineSpec) -> Iterator[str]:
    yield from ("/spec/hostDevices" for _ in spec.host_devices)
    yield from (f"/spec/interfaces/{i}/sriov" for i, nic in enumerate(spec.interfaces) if not absent(nic.sriov))


def _host_device(device: HostDevice, pointer: str) -> Iterator[Problem]:
    kinds = [kind for kind in ("pci", "mdev", "usb") if not absent(getattr(device, kind))]
    if len(kinds) != 1:
        message = f"a host device is exactly one of pci, mdev and usb, not {' and '.join(kinds) or 'none of them'}"
        yield Problem(pointer=pointer, rule="vm-host-device", message=message)
    if not absent(device.pci):
        yield from _one_of(device.pci, f"{pointer}/pci", "a PCI device is named by", "address", "id")
    usb = said(device.usb)
    if usb and (absent(usb.bus) != absent(usb.device) or absent(usb.id) == absent(usb.bus)):
        message = "a USB device is named by its id, or by bus and device together"
        yield Problem(pointer=f"{pointer}/usb", rule="vm-host-device", message=message)
    if not absent(device.mdev) and not absent(device.boot_order):
        message = "a guest cannot boot from a mediated device"
        yield Problem(pointer=f"{pointer}/bootOrder", rule="vm-host-device", message=message)


def _interface(nic: Interface, pointer: str) -> Iterator[Problem]:
    if absent(nic.bridge) == absent(nic.sriov):
        message = "an interface is on exactly one of bridge and sriov"
        yield Problem(pointer=pointer, rule="vm-interface", message=message)
    if absent(nic.sriov):
        return
    yield from _one_of(nic.sriov, f"{pointer}/sriov", "a virtual function is named by", "nic", "address")
    for field in msgspec.structs.fields(Interface):
        if field.name not in _OF_FUNCTIONS and field.name != "bridge" and getattr(nic, field.name) != field.default:
            message = f"a virtual function has no {field.encode_name}: it is the card's, and the guest drives it itself"
            yield Problem(pointer=f"{pointer}/{field.encode_name}", rule="vm-sriov", message=message)


def _one_of(value: Any, pointer: str, words: str, one: str, other: str) -> Iterator[Problem]:
    if absent(getattr(value, one)) == absent(getattr(value, other)):
        message = f"{words} exactly one of {one} and {other}"
        yield Problem(pointer=pointer, rule="vm-host-device", message=message)
