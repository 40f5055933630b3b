"""The fields of what the hypervisor offers the guest."""

from __future__ import annotations

from typing import Annotated

from cell_reconciler.kinds.virtual_machine.codec import hyperv
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc


class Hyperv(Spec, frozen=True, kw_only=True):
    """Hyper-V enlightenments, as libvirt names them: what Windows knows how to use of a hypervisor.

    What is left out is as `guestOS` has it: for Windows from Vista and Server 2008 on `relaxed`, `vapic`, `spinlocks`
    8191, `vpindex`, `runtime`, `synic`, `stimer`, `frequencies`, `tlbflush` and `ipi` are on, otherwise nothing is.
    """

    relaxed: (
        Annotated[
            bool,
            doc(
                "The guest's watchdogs do not take a vCPU that waits for the host for a fault.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("relaxed"),
            ),
        ]
        | UnsetType
    ) = UNSET
    vapic: (
        Annotated[bool, doc("A paravirtual interrupt controller.", Effect.RESTART, xml=hyperv.Enlightenment("vapic"))]
        | UnsetType
    ) = UNSET
    spinlocks: (
        Annotated[
            int,
            doc(
                "How often the guest tries for a lock before it tells the hypervisor: 4095 or more, or 0 for never.",
                Effect.RESTART,
                ge=0,
                le=2**31 - 1,  # above it libvirt writes a negative number, which it does not take back
                xml=hyperv.Spinlocks("spinlocks"),
            ),
        ]
        | UnsetType
    ) = UNSET
    vpindex: (
        Annotated[
            bool,
            doc(
                "Numbers of vCPUs, which much of the rest needs. Only on KVM.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("vpindex"),
            ),
        ]
        | UnsetType
    ) = UNSET
    runtime: (
        Annotated[bool, doc("How long a vCPU ran.", Effect.RESTART, xml=hyperv.Enlightenment("runtime"))] | UnsetType
    ) = UNSET
    synic: (
        Annotated[
            bool,
            doc(
                "A synthetic interrupt controller. Needs `vpindex`.", Effect.RESTART, xml=hyperv.Enlightenment("synic")
            ),
        ]
        | UnsetType
    ) = UNSET
    stimer: (
        Annotated[
            bool,
            doc(
                "Synthetic timers. Need `synic` and `clock.hypervClock`.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("stimer"),
            ),
        ]
        | UnsetType
    ) = UNSET
    stimer_direct: (
        Annotated[
            bool, doc("The timers' expiry comes as an interrupt. Needs `stimer`.", Effect.RESTART, xml=hyperv.Direct())
        ]
        | UnsetType
    ) = UNSET
    frequencies: (
        Annotated[
            bool,
            doc(
                "The frequencies of TSC and APIC, so that the guest need not measure them.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("frequencies"),
            ),
        ]
        | UnsetType
    ) = UNSET
    reset: (
        Annotated[bool, doc("A reset by the hypervisor's register.", Effect.RESTART, xml=hyperv.Enlightenment("reset"))]
        | UnsetType
    ) = UNSET
    tlbflush: (
        Annotated[
            bool,
            doc(
                "The hypervisor flushes other vCPUs' TLBs. Needs `vpindex`.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("tlbflush"),
            ),
        ]
        | UnsetType
    ) = UNSET
    ipi: (
        Annotated[
            bool,
            doc(
                "The hypervisor sends interrupts between vCPUs. Needs `vpindex`.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("ipi"),
            ),
        ]
        | UnsetType
    ) = UNSET
    reenlightenment: (
        Annotated[
            bool,
            doc(
                "The guest hears of a new TSC frequency after a migration. For guests that run Hyper-V themselves.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("reenlightenment"),
            ),
        ]
        | UnsetType
    ) = UNSET
    evmcs: (
        Annotated[
            bool,
            doc(
                "Enlightened VMCS, on Intel only: for guests that run Hyper-V themselves. Needs `vapic`.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("evmcs"),
            ),
        ]
        | UnsetType
    ) = UNSET
    avic: (
        Annotated[
            bool,
            doc(
                "Hardware's interrupt virtualization is used though Hyper-V's is there.",
                Effect.RESTART,
                xml=hyperv.Enlightenment("avic"),
            ),
        ]
        | UnsetType
    ) = UNSET
    vendor_id: (
        Annotated[
            str,
            doc(
                "What the hypervisor says that it is, where a driver asks. Absent: as QEMU has it.",
                Effect.RESTART,
                pattern=r"^[ -+\--~]{1,12}$",
                xml=hyperv.VendorId("vendor_id"),
            ),
        ]
        | UnsetType
    ) = UNSET


class Features(Spec, frozen=True, kw_only=True):
    """What the hypervisor offers the guest."""

    hyperv: Annotated[
        Hyperv, doc("Hyper-V enlightenments; each that is left out is as `guestOS` has it.", Effect.RESTART)
    ] = Hyperv()
