"""The fields of what is on a VM's board."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.virtual_machine import codec
from cell_reconciler.kinds.virtual_machine.codec import board, firmware, memory
from cell_reconciler.model.fields import PATH, UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Bytes

# Text that XML can carry, and no pattern that takes longer than one pass over it.
LINE = r"^[^\x00-\x1f\x7f\ufffe\uffff]+$"


class Hugepages(Spec, frozen=True, kw_only=True):
    """Huge pages of the host, which have to be reserved there."""

    page_size: Annotated[
        Bytes, doc("Size of one page.", Effect.RESTART, examples=["2MiB", "1GiB"], xml=board.PageSize())
    ] = Bytes(2 * 2**20)


class Memory(Spec, frozen=True, kw_only=True):
    """Guest memory."""

    guest: Annotated[
        Bytes,
        doc(
            "Memory of the guest, in whole MiB. More of it is plugged into the running VM, up to `maxGuest` and by "
            "whole 128 MiB; less waits for a restart.",
            Effect.RESTART,
            xml=memory.Memory(),
            examples=["8GiB"],
        ),
    ]
    max_guest: (
        Annotated[
            Bytes,
            doc(
                "Memory that the running VM may get. Absent: none can be plugged.",
                Effect.RESTART,
                xml=memory.MaxMemory(),
                examples=["32GiB"],
            ),
        ]
        | UnsetType
    ) = UNSET
    current: (
        Annotated[
            Bytes,
            doc(
                "What the balloon leaves to the guest of it now. Absent: all of it.",
                Effect.LIVE,
                xml=memory.CurrentMemory(),
                examples=["4GiB"],
            ),
        ]
        | UnsetType
    ) = UNSET
    balloon: Annotated[
        bool, doc("A virtio balloon, by which the host can ask for memory back.", Effect.RESTART, xml=board.Balloon())
    ] = True
    hugepages: (
        Annotated[
            Hugepages,
            doc("Huge pages back the guest's memory. Absent: ordinary pages.", Effect.RESTART, xml=board.Hugepages()),
        ]
        | UnsetType
    ) = UNSET


class Machine(Spec, frozen=True, kw_only=True):
    """The emulated board."""

    type: Annotated[
        str,
        doc(
            "`q35` or `pc`: the newest version when the VM is created, never upgraded by itself. "
            "Or an exact version such as `pc-q35-7.2`.",
            Effect.RESTART,
            pattern=r"^(q35|pc|pc-(q35|i440fx)-[A-Za-z0-9_.-]+)$",
            xml=board.Machine(),
        ),
    ] = "q35"


class FirmwareType(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class Firmware(Spec, frozen=True, kw_only=True):
    """What starts the guest's boot loader."""

    type: Annotated[
        FirmwareType,
        doc(
            "`bios`, or `uefi` (needs OVMF on the host), whose variables are kept when the VM is changed or undefined.",
            Effect.RESTART,
            xml=firmware.FirmwareType(),
        ),
    ] = FirmwareType.BIOS
    secure_boot: Annotated[
        bool, doc("Start signed systems only. With `uefi` on q35.", Effect.RESTART, xml=firmware.SecureBoot())
    ] = False


class TpmModel(StrEnum):
    CRB = "tpm-crb"
    TIS = "tpm-tis"


class TpmVersion(StrEnum):
    V2 = "2.0"
    V1 = "1.2"  # with model tpm-tis only


class Tpm(Spec, frozen=True, kw_only=True):
    """An emulated TPM (needs swtpm on the host)."""

    model: Annotated[
        TpmModel,
        doc("How the guest sees it.", Effect.RESTART, xml=codec.Attribute("devices/tpm", "model", absent="tpm-tis")),
    ] = TpmModel.CRB
    version: Annotated[
        TpmVersion,
        doc(
            "`2.0`, or `1.2` for old guests.",
            Effect.RESTART,
            xml=codec.Attribute("devices/tpm/backend", "version", absent="2.0"),
        ),
    ] = TpmVersion.V2


class WatchdogModel(StrEnum):
    I6300ESB = "i6300esb"  # a PCI device
    IB700 = "ib700"  # an ISA device, on the board pc only


class WatchdogAction(StrEnum):
    """What happens to a guest that stopped to feed its watchdog."""

    RESET = "reset"
    POWEROFF = "poweroff"
    SHUTDOWN = "shutdown"
    PAUSE = "pause"
    INJECT_NMI = "inject-nmi"
    DUMP = "dump"
    NONE = "none"


class Watchdog(Spec, frozen=True, kw_only=True):
    """A device that the guest has to feed."""

    model: Annotated[WatchdogModel, doc("The emulated device.", Effect.RESTART, xml=board.WatchdogModel())] = (
        WatchdogModel.I6300ESB
    )
    action: Annotated[
        WatchdogAction,
        doc(
            "What happens when the guest does not feed it.",
            Effect.RESTART,
            xml=codec.Attribute("devices/watchdog", "action", absent="reset"),
        ),
    ] = WatchdogAction.RESET


class Boot(Spec, frozen=True, kw_only=True):
    """Direct boot of a kernel on the host, without boot loader."""

    kernel: Annotated[
        str, doc("Path of the kernel on the host.", Effect.RESTART, pattern=PATH, xml=codec.Text("os/kernel"))
    ]
    initrd: (
        Annotated[
            str,
            doc("Path of the initial RAM disk on the host.", Effect.RESTART, pattern=PATH, xml=codec.Text("os/initrd")),
        ]
        | UnsetType
    ) = UNSET
    cmdline: (
        Annotated[
            str,
            doc("Kernel command line.", Effect.RESTART, max_length=2048, pattern=LINE, xml=codec.Text("os/cmdline")),
        ]
        | UnsetType
    ) = UNSET
