"""The fields of VirtualMachine, each declared once: text, default, limits, what a change takes, and its XML codec.

Structure as KubeVirt names it (``cpu.sockets``, ``memory.guest``, ``runStrategy``), leaves as libvirt spells them
(``cache``, ``discard``, ``model``). ``xml=`` is the codec by which ``tree`` reads and writes the field; a field
without one and without ``POLICY`` lives outside the XML (``autostart``). An optional field that is left out means
*absent*, and that is ours too: ``resolve.effective`` turns UNSET into None.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.placement import IfName, Placed
from cell_reconciler.kinds.virtual_machine import codec, devices
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Bytes, Duration, Mac

# Text that XML can carry, and no pattern that takes longer than one pass over it.
_PATH = r"^/[^\x00-\x1f\ufffe\uffff]*$"
_LINE = r"^[^\x00-\x1f\ufffe\uffff]+$"
_TEXT = r"^[^\x00-\x08\x0b-\x1f\ufffe\uffff]+$"
# Volume or POOL/NAME: each a name, so that neither leaves the place where its pool is.
_VOLUME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?$"
_DEVICE = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"  # what libvirt allows in a user alias, after its prefix "ua-"


class CpuMode(StrEnum):
    """How the guest's CPU is made from the host's."""

    HOST_MODEL = "host-model"  # the named model nearest to the host's, with its features; can migrate
    HOST_PASSTHROUGH = "host-passthrough"  # exactly the host's
    CUSTOM = "custom"  # the named model


class DiskBus(StrEnum):
    VIRTIO = "virtio"
    SCSI = "scsi"  # on a virtio-scsi controller


class DiskCache(StrEnum):
    NONE = "none"
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class Discard(StrEnum):
    UNMAP = "unmap"
    IGNORE = "ignore"


class NicModel(StrEnum):
    VIRTIO = "virtio"
    E1000 = "e1000"
    E1000E = "e1000e"
    RTL8139 = "rtl8139"


class GraphicsType(StrEnum):
    VNC = "vnc"
    NONE = "none"


class RunStrategy(StrEnum):
    """Who decides whether the VM runs; KubeVirt's words."""

    ALWAYS = "Always"  # started whenever it is shut off
    RERUN_ON_FAILURE = "RerunOnFailure"  # started again after a crash, not after a clean shutdown
    ONCE = "Once"  # started after it was created, then left alone
    MANUAL = "Manual"  # left as it is
    HALTED = "Halted"  # kept shut off


class Restart(StrEnum):
    """May the reconciler restart a running VM for a change that needs it?"""

    NEVER = "Never"  # the change is pending until somebody does
    ALLOWED = "Allowed"


class Cpu(Spec, frozen=True, kw_only=True):
    """Virtual CPUs: ``sockets x cores x threads``."""

    sockets: Annotated[int, doc("Sockets.", Effect.RESTART, ge=1, le=710, xml=codec.Topology("sockets"))] = 1
    cores: Annotated[int, doc("Cores in a socket.", Effect.RESTART, ge=1, le=710, xml=codec.Topology("cores"))] = 1
    threads: Annotated[int, doc("Threads in a core.", Effect.RESTART, ge=1, le=8, xml=codec.Topology("threads"))] = 1
    mode: Annotated[
        CpuMode,
        doc(
            "What the guest's CPU is: `host-model`, `host-passthrough`, or `custom` with `model`.",
            Effect.RESTART,
            xml=codec.CpuMode(),
        ),
    ] = CpuMode.HOST_MODEL
    model: (
        Annotated[
            str,
            doc(
                "Name of a CPU model that libvirt knows (`virsh cpu-models x86_64`). Only with `mode: custom`.",
                Effect.RESTART,
                pattern=r"^[A-Za-z0-9_.-]+$",
                examples=["EPYC-Rome"],
                xml=codec.CpuModel(),
            ),
        ]
        | UnsetType
    ) = UNSET


class Memory(Spec, frozen=True, kw_only=True):
    """Guest memory."""

    guest: Annotated[
        Bytes, doc("Memory of the guest, in whole MiB.", Effect.RESTART, xml=codec.Memory(), examples=["8GiB"])
    ]


class Machine(Spec, frozen=True, kw_only=True):
    """The emulated board."""

    type: Annotated[
        str,
        doc(
            "`q35` or `pc`: the newest version when the VM is created, never upgraded by itself. "
            "Or an exact version such as `pc-q35-7.2`.",
            Effect.RESTART,
            pattern=r"^(q35|pc|pc-(q35|i440fx)-[A-Za-z0-9.+~-]+)$",
            xml=codec.Machine(),
        ),
    ] = "q35"


class Disk(Spec, frozen=True, kw_only=True):
    """A disk on a volume. Always RAW."""

    name: Annotated[
        str,
        doc(
            "Name of the disk in this VM; its identity (libvirt's alias is `ua-<name>`).",
            Effect.RESTART,
            min_length=1,
            max_length=32,
            pattern=_DEVICE,
        ),
    ]
    volume: Annotated[
        str,
        doc(
            "Name of a Volume, or `POOL/NAME` for one that no document declares.",
            Effect.RESTART,
            pattern=_VOLUME,
            examples=["web-01-root"],
            xml=devices.Source(),
        ),
    ]
    bus: Annotated[DiskBus, doc("How the guest sees the disk.", Effect.RESTART, xml=devices.Bus())] = DiskBus.VIRTIO
    cache: Annotated[
        DiskCache,
        doc(
            "Host cache. `none` and `directsync` are safe for live migration.",
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
    boot_order: (
        Annotated[
            int,
            doc(
                "Place in the boot order, over disks and interfaces. Absent: not booted from.",
                Effect.RESTART,
                ge=1,
                xml=codec.BootOrder(),
            ),
        ]
        | UnsetType
    ) = UNSET


class Interface(Spec, frozen=True, kw_only=True):
    """A network interface on a Linux bridge."""

    name: Annotated[
        str,
        doc(
            "Name of the interface in this VM; its identity (libvirt's alias is `ua-<name>`).",
            Effect.RESTART,
            min_length=1,
            max_length=32,
            pattern=_DEVICE,
        ),
    ]
    bridge: Annotated[IfName, doc("Name of a Bridge.", Effect.LIVE, xml=devices.BridgeName())]
    vlan: (
        Annotated[
            int,
            doc(
                "VLAN id: the interface is put on the access bridge `<bridge>.<vlan>`, which is made with it; on a "
                "bridge with `vlanFiltering` it becomes an access port of that VLAN instead.",
                Effect.LIVE,
                ge=1,
                le=4094,
                xml=devices.Vlan(),
            ),
        ]
        | UnsetType
    ) = UNSET
    isolated: Annotated[
        bool,
        doc(
            "It reaches only ports of its bridge that are not isolated (the uplink), and the host: no other isolated "
            "VM. Set on the tap of the running VM, so it counts from some milliseconds after its start.",
        ),
    ] = False
    model: Annotated[
        NicModel, doc("The emulated card.", Effect.RESTART, xml=codec.Attribute("model", "type", absent="rtl8139"))
    ] = NicModel.VIRTIO
    mac: (
        Annotated[
            Mac,
            doc(
                "Ethernet address. Default: 52 and a hash of the names of VM and interface, so it never moves.",
                Effect.RESTART,
                xml=devices.MacAddress(),
            ),
        ]
        | UnsetType
    ) = UNSET
    boot_order: (
        Annotated[
            int,
            doc(
                "Place in the boot order, over disks and interfaces. Absent: not booted from.",
                Effect.RESTART,
                ge=1,
                xml=codec.BootOrder(),
            ),
        ]
        | UnsetType
    ) = UNSET


class Graphics(Spec, frozen=True, kw_only=True):
    """The graphical console."""

    type: Annotated[GraphicsType, doc("`vnc`, or `none`.", Effect.RESTART, xml=codec.GraphicsType())] = GraphicsType.VNC
    listen: Annotated[
        str,
        doc(
            "Address that the console listens on. It has no password: keep it local.",
            Effect.RESTART,
            pattern=r"^[0-9a-fA-F.:]+$",
            xml=codec.GraphicsListen(),
        ),
    ] = "127.0.0.1"


class Clock(Spec, frozen=True, kw_only=True):
    """Time in the guest (the offset is UTC)."""

    kvm_clock: Annotated[bool, doc("Offer the guest KVM's own clock.", Effect.RESTART, xml=codec.KvmClock())] = True


class Boot(Spec, frozen=True, kw_only=True):
    """Direct boot of a kernel on the host, without boot loader."""

    kernel: Annotated[
        str, doc("Path of the kernel on the host.", Effect.RESTART, pattern=_PATH, xml=codec.Text("os/kernel"))
    ]
    initrd: (
        Annotated[
            str,
            doc(
                "Path of the initial RAM disk on the host.", Effect.RESTART, pattern=_PATH, xml=codec.Text("os/initrd")
            ),
        ]
        | UnsetType
    ) = UNSET
    cmdline: (
        Annotated[
            str,
            doc("Kernel command line.", Effect.RESTART, max_length=2048, pattern=_LINE, xml=codec.Text("os/cmdline")),
        ]
        | UnsetType
    ) = UNSET


class UpdatePolicy(Spec, frozen=True, kw_only=True):
    """What a change may do to the running VM."""

    restart: Annotated[
        Restart,
        doc("`Never`: what needs a restart is pending. `Allowed`: the VM is shut down and started.", Effect.POLICY),
    ] = Restart.NEVER


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
    cpu: Annotated[Cpu, doc("Virtual CPUs.", Effect.RESTART)] = Cpu()
    memory: Annotated[Memory, doc("Memory.", Effect.RESTART)]
    machine: Annotated[Machine, doc("The emulated board.", Effect.RESTART)] = Machine()
    boot: (
        Annotated[
            Boot, doc("Direct kernel boot. Absent: from disk or network.", Effect.RESTART, xml=codec.DirectBoot())
        ]
        | UnsetType
    ) = UNSET
    disks: Annotated[tuple[Disk, ...], doc("Disks, by name.", Effect.RESTART, max_length=20, xml=devices.Disks())] = ()
    interfaces: Annotated[
        tuple[Interface, ...],
        doc("Network interfaces, by name.", Effect.RESTART, max_length=8, xml=devices.Interfaces()),
    ] = ()
    serial_console: Annotated[
        bool, doc("A serial port with `virsh console`.", Effect.RESTART, xml=codec.SerialConsole())
    ] = True
    graphics: Annotated[Graphics, doc("The graphical console.", Effect.RESTART)] = Graphics()
    guest_agent: Annotated[bool, doc("A channel for the QEMU guest agent.", Effect.RESTART, xml=codec.GuestAgent())] = (
        True
    )
    rng: Annotated[bool, doc("A virtio random number generator.", Effect.RESTART, xml=codec.Rng())] = True
    clock: Annotated[Clock, doc("Time in the guest.", Effect.RESTART)] = Clock()
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
