"""What a VM's operating system cannot have or lacks, what Hyper-V's enlightenments need, time zones and ports.

A time zone that the host does not know is UTC to it, without a word; so libvirt takes every name, and here none is
taken but the known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine import guest_drivers, guest_os
from cell_reconciler.kinds.virtual_machine.codec.board import machine_family
from cell_reconciler.kinds.virtual_machine.guest_os import WINDOWS, WINDOWS_OLD, GuestOs
from cell_reconciler.kinds.virtual_machine.spec import DiskBus, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.board import FirmwareType
from cell_reconciler.kinds.virtual_machine.spec.features import Hyperv
from cell_reconciler.kinds.virtual_machine.spec.interface import NicModel
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, fields_of
from cell_reconciler.model.key import Key
from cell_reconciler.model.suggest import did_you_mean

_LEAST_RETRIES = 4095  # libvirt's own limit
# An enlightenment → the one without which QEMU does not start a VM that has it, on KVM.
_NEEDS = {
    "synic": "vpindex",
    "stimer": "synic",
    "stimer_direct": "stimer",
    "tlbflush": "vpindex",
    "ipi": "vpindex",
    "evmcs": "vapic",
}
_MIB = 2**20


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """Every rule about guest OS, clock, Hyper-V and ports that the document breaks, and every piece of advice."""
    spec: VirtualMachineSpec = doc.spec
    if spec.guest_os is not UNSET:
        guest = guest_os.of(spec)
        offered = guest_drivers.offered(doc, documents) is not None
        yield from _unknown(spec.guest_os) if guest is None else _supported(spec, guest, offered=offered)
    zone = spec.clock.offset
    if zone is not UNSET and zone not in ("utc", "localtime") and zone not in guest_os.zones():
        message = f"{zone!r} is no time zone{did_you_mean(zone, guest_os.zones())}"
        advice = "utc, localtime, or a name of the time zone database such as Asia/Seoul"
        yield Problem(pointer="/spec/clock/offset", rule="vm-timezone", message=message, advice=advice)
    full = spec if doc.adopts else guest_os.filled(spec)
    yield from _hyperv(full)
    hosts = [other.spec.domain_type for key, other in documents.items() if key.kind == "Host"]
    if full.features.hyperv.vpindex is True and hosts and all(kind == "qemu" for kind in hosts):
        message = "without KVM QEMU does not start a VM that has vpindex, and the host's domainType is qemu"
        advice = "say vpindex: false, and with it synic, stimer, tlbflush and ipi: false"
        yield _advice("/spec/features/hyperv/vpindex", "vm-hyperv-emulated", message, advice)
    if spec.hotplug_ports is not UNSET and machine_family(spec.machine.type) != "q35":
        message = f"machine {spec.machine.type} has no ports, but slots, which are there for all"
        advice = "leave hotplugPorts out, or take machine type q35"
        yield Problem(pointer="/spec/hotplugPorts", rule="vm-hotplug-ports", message=message, advice=advice)


def _unknown(name: str) -> Iterator[Problem]:
    message = f"{name!r} is no operating system that is known{did_you_mean(name, guest_os.table())}"
    advice = "take the id of libosinfo, for a newer system that of the one before it, or leave guestOS out"
    yield Problem(pointer="/spec/guestOS", rule="vm-guest-os", message=message, advice=advice)


def _supported(spec: VirtualMachineSpec, guest: GuestOs, *, offered: bool) -> Iterator[Problem]:
    q35 = machine_family(spec.machine.type) == "q35"
    other_bus, other_nic = ("sata", "e1000e") if q35 else ("ide", "e1000")
    for index, disk in enumerate(spec.disks):
        driver = {DiskBus.VIRTIO: "virtio-blk", DiskBus.SCSI: "virtio-scsi"}.get(disk.bus, "")
        yield from _device(guest, driver, f"/spec/disks/{index}/bus", f"take {other_bus}")
    for index, nic in enumerate(spec.interfaces):
        driver = "virtio-net" if nic.model == NicModel.VIRTIO else ""
        yield from _device(guest, driver, f"/spec/interfaces/{index}/model", f"take {other_nic}")
    if q35:
        yield from _device(guest, "q35", "/spec/machine/type", "take pc")
    if guest_drivers.wanted(spec) and not spec.cdroms and not offered:
        message = f"{guest.name} has no drivers for virtio, and there is no drive to offer them in"
        advice = "name the image of virtio-win in a Cluster document (driverImages), or add a CD-ROM drive with it"
        yield _advice("/spec/cdroms", "vm-os-drivers", message, advice)
    if "no-bios" in guest.devices and spec.firmware.type == FirmwareType.BIOS:
        message = f"{guest.name} does not start from a BIOS"
        yield _advice("/spec/firmware/type", "vm-os-firmware", message, "take uefi")
    if int(spec.memory.guest) < guest.memory * _MIB:
        message = f"{guest.name} needs {guest.memory} MiB of memory at least"
        yield _advice("/spec/memory/guest", "vm-os-memory", message, f"give it {guest.memory}MiB or more")


def _device(guest: GuestOs, driver: str, pointer: str, advice: str) -> Iterator[Problem]:
    """A device that the OS has no driver for. Of one without any entry nothing is known, unless it is old Windows."""
    if guest.family == WINDOWS and driver.startswith("virtio"):
        return  # the image has them
    known = guest.devices or guest.family == WINDOWS_OLD
    if driver and known and driver not in guest.devices:
        yield _advice(pointer, "vm-os-device", f"{guest.name} has no driver for {driver}", advice)


def _advice(pointer: str, rule: str, message: str, advice: str) -> Problem:
    return Problem(pointer=pointer, rule=rule, message=message, advice=advice, severity=Severity.WARNING)


def _hyperv(spec: VirtualMachineSpec) -> Iterator[Problem]:
    """Of an adopted domain what is left out may be on: only what is said to be off is."""
    hyperv: Any = spec.features.hyperv
    names = {field.name: field.yaml for field in fields_of(Hyperv)}
    for name, other in _NEEDS.items():
        if getattr(hyperv, name) is True and getattr(hyperv, other) is False:
            yield _lacks(names[name], names[other])
    if hyperv.stimer is True and spec.clock.hyperv_clock is False:
        yield _lacks("stimer", "clock.hypervClock")
    if hyperv.spinlocks is not UNSET and 0 < hyperv.spinlocks < _LEAST_RETRIES:
        message = f"{hyperv.spinlocks} retries are fewer than the {_LEAST_RETRIES} that libvirt takes"
        yield Problem(pointer="/spec/features/hyperv/spinlocks", rule="vm-hyperv", message=message, advice="take 8191")


def _lacks(name: str, other: str) -> Problem:
    pointer, message = f"/spec/features/hyperv/{name}", f"{name} needs {other}, which is off"
    advice = f"switch both on or both off: what is left out is as guestOS has it, so say {name}: false"
    return Problem(pointer=pointer, rule="vm-hyperv", message=message, advice=advice)
