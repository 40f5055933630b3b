"""What the devices of a VM cannot be together, and what they cost: the documented advice of Cell.

Shares of the speed of the bare disk or NIC are those of the Cell documentation: virtio-blk 85 %, IDE 40 %; virtio 75 %
and more, e1000 60 %; a VGA card 85 %, cirrus 50 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine import rules_traffic
from cell_reconciler.kinds.virtual_machine.codec.board import machine_family
from cell_reconciler.kinds.virtual_machine.spec import DiskBus, VideoModel, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.board import FirmwareType, TpmModel, TpmVersion, WatchdogModel
from cell_reconciler.kinds.virtual_machine.spec.disk import CdromBus, Disk, DiskCache, DiskDevice, DiskIo
from cell_reconciler.kinds.virtual_machine.spec.interface import Interface, NicModel
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

MOST_IDE = 4  # devices: one controller, two channels of two
_MOST_DISKS = 20  # on virtio and scsi together: the limit of Cell
_MIGRATES = (DiskCache.NONE, DiskCache.DIRECTSYNC)


def check(spec: VirtualMachineSpec, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """Every rule that the devices of a VM break, and every piece of advice."""
    yield from _ide(spec)
    counted = [index for index, disk in enumerate(spec.disks) if disk.bus in (DiskBus.VIRTIO, DiskBus.SCSI)]
    if len(counted) > _MOST_DISKS:
        message = f"{len(counted)} disks on virtio and scsi; a VM has {_MOST_DISKS} at most"
        yield Problem(pointer=f"/spec/disks/{counted[_MOST_DISKS]}", rule="vm-disk-count", message=message)
    for index, disk in enumerate(spec.disks):
        yield from _disk(spec, disk, f"/spec/disks/{index}")
        yield from _disk_advice(disk, f"/spec/disks/{index}", documents)
    for index, nic in enumerate(spec.interfaces):
        yield from _nic(nic, f"/spec/interfaces/{index}")
        yield from rules_traffic.check(nic, f"/spec/interfaces/{index}")
    yield from _firmware(spec)
    if (
        spec.watchdog is not UNSET
        and spec.watchdog.model == WatchdogModel.IB700
        and machine_family(spec.machine.type) != "pc"
    ):
        message = "an ib700 sits on the ISA bus, which machine q35 does not give to devices"
        yield Problem(pointer="/spec/watchdog/model", rule="vm-watchdog", message=message, advice="take i6300esb")
    if spec.video == VideoModel.CIRRUS:
        message = "cirrus draws at 50 % of the speed of a bare card, vga at 85 %"
        yield _advice("/spec/video", "vm-video-slow", message, "take vga or virtio")
    if not spec.guest_agent:
        message = "without a guest agent the VM is shut down by its power button, and its file systems cannot be frozen"
        yield _advice("/spec/guestAgent", "vm-no-agent", message, "leave guestAgent out, and install qemu-guest-agent")


def _firmware(spec: VirtualMachineSpec) -> Iterator[Problem]:
    firmware, q35 = spec.firmware, machine_family(spec.machine.type) == "q35"
    if firmware.secure_boot and (firmware.type != FirmwareType.UEFI or not q35):
        message = "secure boot needs firmware type uefi, and machine q35, which keeps its variables from the guest"
        yield Problem(pointer="/spec/firmware/secureBoot", rule="vm-secure-boot", message=message)
    if spec.tpm is not UNSET and (spec.tpm.model, spec.tpm.version) == (TpmModel.CRB, TpmVersion.V1):
        message = "a TPM 1.2 has no model tpm-crb"
        yield Problem(pointer="/spec/tpm/version", rule="vm-tpm", message=message, advice="take model tpm-tis")


def _advice(pointer: str, rule: str, message: str, advice: str) -> Problem:
    return Problem(pointer=pointer, rule=rule, message=message, advice=advice, severity=Severity.WARNING)


def _ide(spec: VirtualMachineSpec) -> Iterator[Problem]:
    places = on_ide(spec)
    if places and machine_family(spec.machine.type) != "pc":
        message = "machine q35 has no IDE"
        yield Problem(pointer=places[0], rule="vm-ide", message=message, advice="take sata, or machine type pc")
    elif len(places) > MOST_IDE:
        message = f"{len(places)} IDE devices (disks and drives together); there is room for {MOST_IDE}"
        yield Problem(pointer=places[MOST_IDE], rule="vm-ide", message=message)


def on_ide(spec: VirtualMachineSpec) -> list[str]:
    """Where the document says what becomes an IDE device: disks and drives."""
    pc = machine_family(spec.machine.type) == "pc"
    places = [f"/spec/disks/{index}/bus" for index, disk in enumerate(spec.disks) if disk.bus == DiskBus.IDE]
    for index, drive in enumerate(spec.cdroms):
        if drive.bus == CdromBus.IDE or (drive.bus is UNSET and pc):
            places.append(f"/spec/cdroms/{index}/bus")
    return [*places, "/spec/cloudInit"] if pc and spec.cloud_init is not UNSET else places


def _disk(spec: VirtualMachineSpec, disk: Disk, pointer: str) -> Iterator[Problem]:
    if disk.io == DiskIo.NATIVE and disk.cache not in _MIGRATES:
        message = f"io native needs cache none or directsync, and cache is {disk.cache}"
        yield Problem(pointer=f"{pointer}/io", rule="vm-disk-io", message=message)
    if disk.io_thread is not UNSET and disk.bus != DiskBus.VIRTIO:
        message = f"an I/O thread serves disks on bus virtio, not {disk.bus}"
        yield Problem(pointer=f"{pointer}/ioThread", rule="vm-io-thread", message=message)
    elif disk.io_thread is not UNSET and disk.io_thread > spec.io_threads:
        message = f"there is no I/O thread {disk.io_thread}: ioThreads is {spec.io_threads}"
        yield Problem(pointer=f"{pointer}/ioThread", rule="vm-io-thread", message=message)
    if disk.read_only and disk.bus in (DiskBus.IDE, DiskBus.SATA):
        message = f"bus {disk.bus} has no read-only disks"  # QEMU: "Can't use a read-only drive"
        yield Problem(pointer=f"{pointer}/readOnly", rule="vm-disk-read-only", message=message)
    yield from _limits(disk, pointer)


def _limits(disk: Disk, pointer: str) -> Iterator[Problem]:
    """libvirt refuses a total together with its parts, and a burst without a limit or not above it."""
    if disk.iotune is UNSET:
        return
    said = {name: value for name in disk.iotune.__struct_fields__ if (value := getattr(disk.iotune, name)) is not UNSET}
    if not said:
        message = "iotune names no limit"
        yield Problem(pointer=f"{pointer}/iotune", rule="vm-iotune", message=message, advice="leave iotune out")
    for unit in ("bytes_sec", "iops_sec", "bytes_sec_max", "iops_sec_max"):
        if f"total_{unit}" in said and {f"read_{unit}", f"write_{unit}"} & said.keys():
            message = f"total_{unit} excludes read_{unit} and write_{unit}"
            yield Problem(pointer=f"{pointer}/iotune", rule="vm-iotune", message=message)
    for name, value in said.items():
        base = name.removesuffix("_max")
        if base != name and said.get(base, value) >= value:
            message = f"{name} is a burst above {base}: it needs {base}, and to be more than it"
            yield Problem(pointer=f"{pointer}/iotune", rule="vm-iotune", message=message)


def _disk_advice(disk: Disk, pointer: str, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    if disk.bus in (DiskBus.IDE, DiskBus.SATA):
        what = "ide has" if disk.bus == DiskBus.IDE else f"{disk.bus} is emulated as ide is, which has"
        message = f"{what} 40 % of the bare disk's speed, virtio 85 %, and cannot be plugged while the VM runs"
        yield _advice(f"{pointer}/bus", "vm-disk-slow", message, "take virtio, where the guest has its driver")
    if disk.bus == DiskBus.SCSI and disk.device != DiskDevice.LUN:
        message = "scsi has one more layer between guest and disk than virtio, which has 85 % of the bare disk's speed"
        yield _advice(f"{pointer}/bus", "vm-disk-scsi", message, "take virtio, unless the guest needs SCSI commands")
    if disk.cache not in _MIGRATES and not _over_network(disk, documents):
        what = "a block device" if disk.source and disk.source.block else "a file"
        message = f"with cache {disk.cache} libvirt refuses to migrate the VM, as the disk is {what} of this host"
        yield _advice(f"{pointer}/cache", "vm-disk-cache", message, "take none or directsync")


def _over_network(disk: Disk, documents: Mapping[Key, Document]) -> bool:
    """libvirt takes what QEMU reaches by network for shared, whatever the cache."""
    if disk.source:
        return bool(disk.source.rbd or disk.source.iscsi)
    if not disk.volume:
        return False
    volume = documents.get(Key("Volume", disk.volume))
    pool = documents.get(Key("StoragePool", disk.volume.partition("/")[0] if volume is None else volume.spec.pool))
    return pool is not None and pool.spec.rbd is not UNSET


def _nic(nic: Interface, pointer: str) -> Iterator[Problem]:
    if nic.queues is not UNSET and nic.model != NicModel.VIRTIO:
        message = f"only model virtio has queues, not {nic.model}"
        yield Problem(pointer=f"{pointer}/queues", rule="vm-nic-queues", message=message)
    if nic.model != NicModel.VIRTIO:
        what = "e1000 has" if nic.model == NicModel.E1000 else f"{nic.model} is emulated as e1000 is, which has"
        message = f"{what} 60 % of the bare NIC's speed, virtio 75 % and more"
        yield _advice(f"{pointer}/model", "vm-nic-slow", message, "take virtio, where the guest has its driver")
