"""The fields of VirtualMachine, each declared once: text, default, limits, what a change takes, and its XML codec.

Structure as KubeVirt names it (``cpu.sockets``, ``memory.guest``, ``runStrategy``), leaves as libvirt spells them
(``cache``, ``discard``, ``model``). ``xml=`` is the codec by which ``tree`` reads and writes the field; a field
without one and without ``POLICY`` lives outside the XML (``autostart``). An optional field that is left out means
*absent*, and that is ours too: ``resolve.effective`` turns UNSET into None.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from cell_reconciler.kinds.placement import Placed
from cell_reconciler.kinds.virtual_machine import codec, devices
from cell_reconciler.kinds.virtual_machine.codec import board as boards  # its name here is that of a part of spec
from cell_reconciler.kinds.virtual_machine.codec import consoles, ports
from cell_reconciler.kinds.virtual_machine.codec import firmware as firmwares
from cell_reconciler.kinds.virtual_machine.codec import io_threads as threads
from cell_reconciler.kinds.virtual_machine.codec.elsewhere import Elsewhere
from cell_reconciler.kinds.virtual_machine.spec.board import Boot, Firmware, Machine, Memory, Tpm, Watchdog
from cell_reconciler.kinds.virtual_machine.spec.clock import Clock
from cell_reconciler.kinds.virtual_machine.spec.console import Graphics, GraphicsType, VideoModel
from cell_reconciler.kinds.virtual_machine.spec.cpu import Cpu, CpuMode
from cell_reconciler.kinds.virtual_machine.spec.disk import Cdrom, Disk, DiskBus
from cell_reconciler.kinds.virtual_machine.spec.features import Features
from cell_reconciler.kinds.virtual_machine.spec.host_device import HostDevice
from cell_reconciler.kinds.virtual_machine.spec.interface import Interface
from cell_reconciler.kinds.virtual_machine.spec.seed import CloudInit
from cell_reconciler.kinds.virtual_machine.spec.update import Restart, UpdatePolicy, Window
from cell_reconciler.kinds.virtual_machine.spec.vsock import Vsock
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, doc
from cell_reconciler.model.quantities import Duration

_TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]+$"


class RunStrategy(StrEnum):
    """Who decides whether the VM runs; KubeVirt's words."""

    ALWAYS = "Always"  # started whenever it is shut off
    RERUN_ON_FAILURE = "RerunOnFailure"  # started again after a crash, not after a clean shutdown
    ONCE = "Once"  # started after it was created, then left alone
    MANUAL = "Manual"  # left as it is
    HALTED = "Halted"  # kept shut off


class VirtualMachineSpec(Placed, frozen=True, kw_only=True):
    """A VM: a persistent libvirt domain, its devices, and whether it runs."""

    uuid: (
        Annotated[
            str,
            doc(
                "Default: derived from the name, the same on every host.",
                Effect.IMMUTABLE,
                pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
                xml=codec.Text("uuid"),
            ),
        ]
        | UnsetType
    ) = UNSET
    description: (
        Annotated[
            str,
            doc(
                "For people.",
                Effect.LIVE,
                max_length=4096,
                pattern=_TEXT,
                xml=codec.Text("description"),
            ),
        ]
        | UnsetType
    ) = UNSET
    guest_os: (
        Annotated[
            str,
            doc(
                "The operating system in the VM, by libosinfo's id (`osinfo-query os`), short or long. It gives fields "
                "of `clock` and `features` that are left out what the system wants, and advice about the others.",
                Effect.POLICY,
                max_length=128,
                pattern=r"^[a-z0-9][A-Za-z0-9.:/_-]*$",
                examples=["debian12", "rocky9", "win2k22"],
            ),
        ]
        | UnsetType
    ) = msgspec.field(default=UNSET, name="guestOS")
    cpu: Annotated[Cpu, doc("Virtual CPUs.", Effect.RESTART)] = Cpu()
    memory: Annotated[Memory, doc("Memory.", Effect.RESTART)]
    machine: Annotated[Machine, doc("The emulated board.", Effect.RESTART)] = Machine()
    firmware: Annotated[Firmware, doc("What starts the guest's boot loader.", Effect.RESTART)] = Firmware()
    tpm: Annotated[Tpm, doc("An emulated TPM. Absent: none.", Effect.RESTART, xml=firmwares.Tpm())] | UnsetType = UNSET
    boot: (
        Annotated[
            Boot, doc("Direct kernel boot. Absent: from disk or network.", Effect.RESTART, xml=boards.DirectBoot())
        ]
        | UnsetType
    ) = UNSET
    disks: Annotated[
        tuple[Disk, ...],
        doc(
            "Disks, by name; 20 at most on bus virtio and scsi, where they are plugged into the running VM.",
            Effect.RESTART,
            max_length=32,
            xml=devices.Disks(),
        ),
    ] = ()
    cdroms: Annotated[
        tuple[Cdrom, ...], doc("CD-ROM drives, by name.", Effect.RESTART, max_length=8, xml=devices.Cdroms())
    ] = ()
    cloud_init: (
        Annotated[
            CloudInit,
            doc(
                "Data for cloud-init, in a CD-ROM drive named `cloud-init`. Absent: none. The drive itself comes and "
                "goes with a restart; other data is put into it at once.",
                Effect.LIVE,
                xml=Elsewhere(),
            ),
        ]
        | UnsetType
    ) = UNSET
    io_threads: Annotated[
        int,
        doc(
            "Threads that serve disks beside QEMU's own; a disk names one by its number. The running VM gets more at "
            "once, and loses those that serve no disk; fewer wait for a restart while one of them does.",
            Effect.LIVE,
            ge=0,
            le=64,
            xml=threads.IoThreads(),
        ),
    ] = 0
    interfaces: Annotated[
        tuple[Interface, ...],
        doc(
            "Network interfaces, by name. They are plugged into the running VM.",
            Effect.RESTART,
            max_length=8,
            xml=devices.Interfaces(),
        ),
    ] = ()
    host_devices: Annotated[
        tuple[HostDevice, ...],
        doc(
            "Devices of the host that the VM has for itself, by name. They are plugged into the running VM. Never one "
            "that the host itself uses.",
            Effect.RESTART,
            max_length=32,
            xml=devices.HostDevices(),
        ),
    ] = ()
    serial_console: Annotated[
        bool, doc("A serial port with `virsh console`.", Effect.RESTART, xml=consoles.SerialConsole())
    ] = True
    graphics: Annotated[Graphics, doc("The graphical console.", Effect.RESTART)] = Graphics()
    video: (
        Annotated[
            VideoModel,
            doc(
                "The card that shows the console. Default: `vga` with graphics, `none` without.",
                Effect.RESTART,
                xml=consoles.Video(),
            ),
        ]
        | UnsetType
    ) = UNSET
    watchdog: (
        Annotated[
            Watchdog,
            doc(
                "A device that acts when the guest hangs. Absent: none.",
                Effect.RESTART,
                xml=codec.Flag("devices/watchdog"),
            ),
        ]
        | UnsetType
    ) = UNSET
    guest_agent: Annotated[
        bool,
        doc(
            "A channel for the QEMU guest agent. It is plugged into the running VM, and unplugged; into one that was "
            "started without a virtio-serial controller it comes with a restart.",
            Effect.LIVE,
            xml=consoles.GuestAgent(),
        ),
    ] = True
    rng: Annotated[
        bool,
        doc(
            "A virtio random number generator. It is plugged into the running VM, and unplugged.",
            Effect.LIVE,
            xml=boards.Rng(),
        ),
    ] = True
    clock: Annotated[Clock, doc("Time in the guest.", Effect.RESTART)] = Clock()
    vsock: (
        Annotated[
            Vsock,
            doc(
                "A virtio socket between guest and host (needs vhost_vsock on the host). It is plugged into the "
                "running VM. Absent: none.",
                Effect.LIVE,
                xml=codec.Flag("devices/vsock"),
            ),
        ]
        | UnsetType
    ) = UNSET
    hotplug_ports: (
        Annotated[
            int,
            doc(
                "PCI Express ports at its start that no device needs yet: as many can be plugged in while it runs. "
                "Default: 4, and none on the board pc, which has slots instead.",
                Effect.RESTART,
                ge=0,
                le=ports.MOST,
                xml=ports.HotplugPorts(),
            ),
        ]
        | UnsetType
    ) = UNSET
    features: Annotated[Features, doc("What the hypervisor offers the guest.", Effect.RESTART)] = Features()
    run_strategy: Annotated[
        RunStrategy,
        doc(
            "`Always`: started whenever it is shut off. `RerunOnFailure`: started again after a crash only. "
            "`Once`: started when created. `Manual`: left as it is. `Halted`: kept shut off.",
            Effect.POLICY,
        ),
    ] = RunStrategy.ALWAYS
    autostart: Annotated[bool, doc("libvirt starts it when the host boots.", Effect.LIVE)] = False
    shutdown_timeout: Annotated[
        Duration, doc("How long the guest may take to shut down when asked to.", Effect.POLICY)
    ] = Duration(120)
    force_stop: Annotated[
        bool, doc("Power the VM off when it did not shut down in time. Otherwise it is left running.", Effect.POLICY)
    ] = False
    update_policy: Annotated[UpdatePolicy, doc("What a change may do to the running VM.", Effect.POLICY)] = (
        UpdatePolicy()
    )
    start_order: Annotated[
        int,
        doc(
            "VMs of a lower order are started first, where several are started together. "
            "Who is started first also has the room that is left.",
            Effect.POLICY,
            ge=0,
            le=1000,
        ),
    ] = 0
    deletion_protection: Annotated[
        bool,
        doc(
            "Never deleted or replaced, also when its document is gone. The same as the annotation `cell/protect`.",
            Effect.POLICY,
        ),
    ] = False


__all__ = [
    "Boot",
    "Cdrom",
    "Clock",
    "CloudInit",
    "Cpu",
    "CpuMode",
    "Disk",
    "DiskBus",
    "Features",
    "Firmware",
    "Graphics",
    "GraphicsType",
    "HostDevice",
    "Interface",
    "Machine",
    "Memory",
    "Restart",
    "RunStrategy",
    "Tpm",
    "UpdatePolicy",
    "VideoModel",
    "VirtualMachineSpec",
    "Vsock",
    "Watchdog",
    "Window",
]
