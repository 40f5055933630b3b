"""Where a disk cannot be, and what it costs there.

A name of the kernel (``/dev/sdb``) is that of another disk after the next boot, and a name made of what is on a disk
(its label) is that of whatever disk a guest writes it to: both are refused, since they would be somebody else's data.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.storage_names import is_address
from cell_reconciler.kinds.virtual_machine import sources
from cell_reconciler.kinds.virtual_machine.spec import DiskBus, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.disk import DetectZeroes, Disk, DiskCache, DiskDevice
from cell_reconciler.kinds.virtual_machine.spec.source import IscsiSource, LibvirtSecret, RbdSource, Source, wanted
from cell_reconciler.kinds.world import pool_targets
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

_CACHED = (DiskCache.WRITEBACK, DiskCache.WRITETHROUGH, DiskCache.UNSAFE)
_NUMBERED = re.compile(r"/dev/([^/]+|(block|char|fd|bsg)/.*)")
_LABELLED = re.compile(r"/dev/disk/by-(uuid|label|partuuid|partlabel)/.*")
_FRIENDLY = re.compile(r"/dev/mapper/mpath[a-z]+([-p][0-9]+)?")
_STABLE = "name it as /dev/disk/by-id has it (ls -l /dev/disk/by-id), or /dev/mapper, /dev/VG/LV"


def check(spec: VirtualMachineSpec, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """Every rule that the places of a VM's disks break, and every piece of advice."""
    for index, disk in enumerate(spec.disks):
        pointer = f"/spec/disks/{index}"
        if (disk.volume is UNSET) == (disk.source is UNSET):
            message = "a disk has exactly one of `volume` and `source`"
            yield Problem(pointer=pointer, rule="exactly-one", message=message)
        if disk.source:
            yield from _source(disk.source, f"{pointer}/source")
            yield from _pooled(disk.source, f"{pointer}/source", documents)
        yield from _lun(disk, pointer)
        if disk.shareable and disk.cache in _CACHED:
            message = f"with cache {disk.cache} the others that share the disk do not see what was written"
            yield Problem(pointer=f"{pointer}/shareable", rule="vm-disk-shareable", message=message, advice="take none")


def _source(source: Source, at: str) -> Iterator[Problem]:
    if sources.parts(source) != 1:
        message = "a source has exactly one of `rbd`, `iscsi`, `file` and `block`"
        yield Problem(pointer=at, rule="exactly-one", message=message)
        return
    if source.rbd:
        yield from _rbd(source.rbd, f"{at}/rbd")
    elif source.iscsi:
        yield from _iscsi(source.iscsi, f"{at}/iscsi")
    elif source.file:
        yield from _normal(source.file.path, f"{at}/file/path")
        if source.file.path.startswith("/dev/"):
            message = f"{source.file.path} is no file of a file system"
            yield Problem(pointer=f"{at}/file", rule="vm-source-file", message=message, advice="declare it as block")
    elif source.block:
        yield from _block(source.block.path, f"{at}/block/path")


def _rbd(rbd: RbdSource, at: str) -> Iterator[Problem]:
    for index, monitor in enumerate(rbd.monitors):
        yield from _address(monitor, f"{at}/monitors/{index}")
    yield from _login(rbd, at)


def _iscsi(iscsi: IscsiSource, at: str) -> Iterator[Problem]:
    yield from _address(iscsi.portal, f"{at}/portal")
    yield from _login(iscsi, at)
    message = "QEMU's own iSCSI initiator is not in every QEMU (ABLESTACK's is built without), and has no multipath"
    advice = "log in with the host's (iscsiadm), and declare the device as block by its /dev/disk/by-id name"
    yield _advice(at, "vm-source-iscsi", message, advice)


def _address(text: str, at: str) -> Iterator[Problem]:
    if not is_address(text):
        message = f"{text!r} is not ADDRESS or ADDRESS:PORT"
        advice = "write for example 10.0.0.11:6789, or [fd00::11]:6789"
        yield Problem(pointer=at, rule="vm-source-address", message=message, advice=advice)


def _login(source: RbdSource | IscsiSource, at: str) -> Iterator[Problem]:
    if (source.user is UNSET) != (source.secret is UNSET):
        message = "a user logs in with a secret, and a secret is that of a user: one of them is missing"
        yield Problem(pointer=f"{at}/user", rule="vm-source-login", message=message)
    if isinstance(source.secret, LibvirtSecret) and (source.secret.uuid is UNSET) == (source.secret.usage is UNSET):
        message = "a secret has exactly one of `uuid` and `usage`"
        yield Problem(pointer=f"{at}/secret", rule="exactly-one", message=message)


def _normal(path: str, at: str) -> Iterator[Problem]:
    normal = posixpath.normpath(path).replace("//", "/")
    if path != normal:
        message = f"{path!r} is not a normalised path"
        yield Problem(pointer=at, rule="normal-path", message=message, advice=f"write {normal}")


def _block(path: str, at: str) -> Iterator[Problem]:
    yield from _normal(path, at)
    if _NUMBERED.fullmatch(path):
        message = f"{path} may be another disk after the next boot"
        yield Problem(pointer=at, rule="vm-source-block", message=message, advice=_STABLE)
    elif _LABELLED.fullmatch(path):
        message = f"{path} is named after what is written on it, which every guest can write to its own disk"
        yield Problem(pointer=at, rule="vm-source-block", message=message, advice=_STABLE)
    elif _FRIENDLY.fullmatch(path):
        message = f"{path} is numbered by each host as it finds its disks: elsewhere it is another one"
        advice = "name the device by its WWID: user_friendly_names no in multipath.conf, or /dev/disk/by-id"
        yield _advice(at, "vm-source-mpath", message, advice)


def _pooled(source: Source, at: str, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """Whose place a StoragePool declares should be its volume: then it is known, grown and kept apart as such."""
    if not (source.rbd or source.file) or sources.parts(source) != 1:
        return
    volume = sources.volume_of(wanted(source), pool_targets(documents))
    if volume is not None:
        message = f"the place is in StoragePool {volume.partition('/')[0]}"
        yield _advice(at, "vm-source-pool", message, f"write volume: {volume}")


def _lun(disk: Disk, at: str) -> Iterator[Problem]:
    lun = disk.device == DiskDevice.LUN
    block, iscsi = bool(disk.source and disk.source.block), bool(disk.source and disk.source.iscsi)
    for name, said in (("reservations", disk.reservations), ("rawIo", disk.raw_io)):
        if said and not lun:
            message = f"{name} is about the SCSI commands of a guest, which reach a LUN only"
            yield Problem(pointer=f"{at}/{name}", rule="vm-lun", message=message, advice="add device: lun")
    if not lun:
        return
    if not block and not iscsi:
        message = "a LUN is a block device of the host, or of an iSCSI target"
        yield Problem(pointer=f"{at}/device", rule="vm-lun", message=message, advice="leave device out")
    if disk.bus != DiskBus.SCSI:
        message = f"a LUN is on bus scsi, not {disk.bus}"  # virtio: QEMU has no SCSI commands there since virtio 1.0
        yield Problem(pointer=f"{at}/bus", rule="vm-lun", message=message)
    if disk.reservations and not block:
        message = "reservations are made for a block device of the host"
        yield Problem(pointer=f"{at}/reservations", rule="vm-lun", message=message)
    # The guest's commands go to the LUN past QEMU: what QEMU does with a disk, it does not do here.
    for name, said in (
        ("cache", disk.cache in _CACHED),
        ("detectZeroes", disk.detect_zeroes != DetectZeroes.OFF),
        ("iotune", disk.iotune is not UNSET),
        ("serial", disk.serial is not UNSET),
    ):
        if said:
            message = f"{name} has no effect on a LUN: the guest talks to it past QEMU"
            yield Problem(pointer=f"{at}/{name}", rule="vm-lun", message=message, advice=f"leave {name} out")
    message = "a VM with a LUN migrates only to a host that has the same LUN by the same name"
    message += ", and its reservations stay behind" if disk.reservations else ""
    yield _advice(f"{at}/device", "vm-lun-migration", message, "leave device out where the guest needs no LUN")


def _advice(pointer: str, rule: str, message: str, advice: str) -> Problem:
    return Problem(pointer=pointer, rule=rule, message=message, advice=advice, severity=Severity.WARNING)
