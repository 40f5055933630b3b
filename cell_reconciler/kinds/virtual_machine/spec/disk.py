"""The fields of a VM's disks and CD-ROM drives."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from cell_reconciler.kinds.virtual_machine import codec, devices
from cell_reconciler.kinds.virtual_machine.codec import source as sources
from cell_reconciler.kinds.virtual_machine.spec.device import BootOrder, device_name
from cell_reconciler.kinds.virtual_machine.spec.source import Source, said
from cell_reconciler.model.fields import PATH, UNSET, Effect, Spec, UnsetType, doc

# Volume or POOL/NAME: each a name, so that neither leaves the place where its pool is.
VOLUME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?$"


class DiskBus(StrEnum):
    VIRTIO = "virtio"
    SCSI = "scsi"  # on a virtio-scsi controller
    SATA = "sata"
    IDE = "ide"  # on the board pc only


class DiskCache(StrEnum):
    DEFAULT = "default"  # what QEMU prefers: writeback, and none for a shareable disk
    NONE = "none"
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class Discard(StrEnum):
    UNMAP = "unmap"
    IGNORE = "ignore"


class DiskIo(StrEnum):
    """How QEMU reads and writes on the host."""

    NATIVE = "native"  # Linux AIO; only without the host's cache
    THREADS = "threads"
    IO_URING = "io_uring"


class DetectZeroes(StrEnum):
    """What happens to zeroes that the guest writes."""

    OFF = "off"
    ON = "on"  # written more cheaply, where the storage is able to
    UNMAP = "unmap"  # given back like discarded blocks


class DiskDevice(StrEnum):
    """What the guest gets."""

    DISK = "disk"  # one that QEMU makes of the data
    LUN = "lun"  # the host's own LUN: SCSI commands of the guest reach it


class CdromBus(StrEnum):
    SATA = "sata"
    IDE = "ide"  # on the board pc only
    SCSI = "scsi"


_RATE_MOST = 10**15  # of bytes or requests a second, by QEMU


def _limit(name: str, text: str) -> Any:
    return doc(text, Effect.LIVE, ge=1, le=_RATE_MOST, xml=codec.Number(f"iotune/{name}", absent=None))


class Iotune(Spec, frozen=True, kw_only=True):
    """Limits of a disk's rate, as libvirt names them; ``total`` excludes ``read`` and ``write``."""

    total_bytes_sec: Annotated[int, _limit("total_bytes_sec", "Bytes read and written per second.")] | UnsetType = UNSET
    read_bytes_sec: Annotated[int, _limit("read_bytes_sec", "Bytes read per second.")] | UnsetType = UNSET
    write_bytes_sec: Annotated[int, _limit("write_bytes_sec", "Bytes written per second.")] | UnsetType = UNSET
    total_bytes_sec_max: (
        Annotated[int, _limit("total_bytes_sec_max", "Bytes read and written per second, in a burst.")] | UnsetType
    ) = UNSET
    read_bytes_sec_max: (
        Annotated[int, _limit("read_bytes_sec_max", "Bytes read per second, in a burst.")] | UnsetType
    ) = UNSET
    write_bytes_sec_max: (
        Annotated[int, _limit("write_bytes_sec_max", "Bytes written per second, in a burst.")] | UnsetType
    ) = UNSET
    total_iops_sec: Annotated[int, _limit("total_iops_sec", "Requests read and written per second.")] | UnsetType = (
        UNSET
    )
    read_iops_sec: Annotated[int, _limit("read_iops_sec", "Requests read per second.")] | UnsetType = UNSET
    write_iops_sec: Annotated[int, _limit("write_iops_sec", "Requests written per second.")] | UnsetType = UNSET
    total_iops_sec_max: (
        Annotated[int, _limit("total_iops_sec_max", "Requests read and written per second, in a burst.")] | UnsetType
    ) = UNSET
    read_iops_sec_max: (
        Annotated[int, _limit("read_iops_sec_max", "Requests read per second, in a burst.")] | UnsetType
    ) = UNSET
    write_iops_sec_max: (
        Annotated[int, _limit("write_iops_sec_max", "Requests written per second, in a burst.")] | UnsetType
    ) = UNSET


class Disk(Spec, frozen=True, kw_only=True):
    """A disk. Always RAW. Exactly one of `volume` and `source`."""

    name: Annotated[str, device_name("disk")]
    volume: (
        Annotated[
            str,
            doc(
                "Name of a Volume, or `POOL/NAME` for one that no document declares.",
                Effect.RESTART,
                pattern=VOLUME,
                examples=["web-01-root"],
                xml=sources.Volume(),
            ),
        ]
        | UnsetType
    ) = UNSET
    source: (
        Annotated[
            Source,
            doc(
                "Where the data are, when they are in no declared StoragePool.",
                Effect.RESTART,
                whole=True,
                xml=sources.Source(said),
            ),
        ]
        | UnsetType
    ) = UNSET
    device: Annotated[
        DiskDevice,
        doc(
            "`lun`: the guest's SCSI commands reach the LUN itself. Needs bus scsi, and a source `block` or `iscsi`.",
            Effect.RESTART,
            xml=sources.DiskDevice(),
        ),
    ] = DiskDevice.DISK
    reservations: Annotated[
        bool,
        doc(
            "The guest of a `lun` may make SCSI reservations (qemu-pr-helper). Needs a source `block`.",
            Effect.RESTART,
            xml=sources.Reservations(),
        ),
    ] = False
    raw_io: Annotated[
        bool,
        doc(
            "QEMU gets CAP_SYS_RAWIO, for commands to a `lun` that the kernel keeps from others.",
            Effect.RESTART,
            xml=sources.RawIo(),
        ),
    ] = False
    bus: Annotated[DiskBus, doc("How the guest sees the disk.", Effect.RESTART, xml=devices.Bus())] = DiskBus.VIRTIO
    cache: Annotated[
        DiskCache,
        doc(
            "Host cache. `none` and `directsync` are safe for live migration; `default` is what QEMU prefers.",
            Effect.RESTART,
            xml=codec.Attribute("driver", "cache", absent="default"),
        ),
    ] = DiskCache.NONE
    discard: Annotated[
        Discard,
        doc(
            "What happens to blocks that the guest gives back.",
            Effect.RESTART,
            xml=codec.Attribute("driver", "discard", absent="ignore"),
        ),
    ] = Discard.UNMAP
    boot_order: BootOrder | UnsetType = UNSET
    io: (
        Annotated[
            DiskIo,
            doc(
                "How QEMU reads and writes: `native` needs cache `none` or `directsync`. Default: what QEMU prefers.",
                Effect.RESTART,
                xml=codec.Option("driver", "io"),
            ),
        ]
        | UnsetType
    ) = UNSET
    detect_zeroes: Annotated[
        DetectZeroes,
        doc(
            "What happens to zeroes that the guest writes.",
            Effect.RESTART,
            xml=codec.Option("driver", "detect_zeroes", absent="off"),
        ),
    ] = DetectZeroes.OFF
    io_thread: (
        Annotated[
            int,
            doc(
                "Number of the I/O thread that serves the disk, from 1 to `ioThreads`. Only on bus virtio.",
                Effect.RESTART,
                ge=1,
                le=64,
                xml=codec.Option("driver", "iothread", kind=int),
            ),
        ]
        | UnsetType
    ) = UNSET
    iotune: (
        Annotated[
            Iotune,
            doc("Limits of the disk's rate. Absent: none.", Effect.LIVE, whole=True, xml=devices.Tunes()),
        ]
        | UnsetType
    ) = UNSET
    serial: (
        Annotated[
            str,
            doc(
                "Serial number that the guest sees (`/dev/disk/by-id`).",
                Effect.RESTART,
                max_length=36,
                pattern=r"^[A-Za-z0-9_.+-]+$",
                xml=codec.Text("serial"),
            ),
        ]
        | UnsetType
    ) = UNSET
    read_only: Annotated[bool, doc("The guest cannot write.", Effect.RESTART, xml=codec.Flag("readonly"))] = False
    shareable: Annotated[
        bool,
        doc(
            "Several VMs have it at the same time, on one or more hosts: each says so, and their guests know of each "
            "other (a cluster's file system, reservations).",
            Effect.RESTART,
            xml=codec.Flag("shareable"),
        ),
    ] = False


class Cdrom(Spec, frozen=True, kw_only=True):
    """A CD-ROM drive."""

    name: Annotated[str, device_name("drive")]
    bus: (
        Annotated[
            CdromBus,
            doc(
                "How the guest sees the drive. Default: `sata`, and `ide` on the board pc.",
                Effect.RESTART,
                xml=devices.Bus(),
            ),
        ]
        | UnsetType
    ) = UNSET
    media: (
        Annotated[
            str,
            doc(
                "Path of an image on the host; it is changed while the VM runs. Absent: the tray is empty.",
                Effect.LIVE,
                pattern=PATH,
                examples=["/var/lib/libvirt/images/iso/debian.iso"],
                xml=sources.Media(),
            ),
        ]
        | UnsetType
    ) = UNSET
    boot_order: BootOrder | UnsetType = UNSET
