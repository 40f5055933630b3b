"""The fields of Host."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.placement import Placed
from cell_reconciler.model.fields import Effect, Spec, doc


class DomainType(StrEnum):
    """libvirt's ``<domain type=…>``."""

    KVM = "kvm"
    QEMU = "qemu"  # TCG: emulation in software, for labs and tests


class Overcommit(Spec, frozen=True, kw_only=True):
    """How much more than it has the host may promise its VMs. What is left out is 1: no more than there is.

    Checked when it is planned and again when a VM starts; what runs is never touched.
    """

    cpu: Annotated[
        float,
        doc(
            "vCPUs of all running VMs for each physical core. 8 is the most that Cell supports; "
            "more is for labs (`domainType: qemu`).",
            Effect.POLICY,
            ge=0.1,
            le=1000,
            examples=[4],
        ),
    ] = 1.0
    memory: Annotated[
        float,
        doc(
            "Memory of all running guests, huge pages included, for the memory of the host. "
            "Less than 1 keeps some for the host itself.",
            Effect.POLICY,
            ge=0.1,
            le=1000,
            examples=[0.9],
        ),
    ] = 1.0
    disk: Annotated[
        float,
        doc(
            "Sizes of all volumes of a pool for its capacity: volumes are thin, and use what was written.",
            Effect.POLICY,
            ge=0.1,
            le=1000,
            examples=[3],
        ),
    ] = 1.0


class HostSpec(Placed, frozen=True, kw_only=True):
    """What a host is and allows.

    `metadata.name` is the host's name; `metadata.labels` are what `hostSelector` selects by.
    """

    domain_type: Annotated[
        DomainType,
        doc(
            "How this host runs VMs: `kvm` in hardware, `qemu` emulated in software. "
            "Never guessed and never switched by itself, since /dev/kvm may exist and not work.",
            Effect.POLICY,
        ),
    ] = DomainType.KVM
    overcommit: Annotated[
        Overcommit, doc("How much more than it has the host may promise its VMs. Absent: nothing more.", Effect.POLICY)
    ] = Overcommit()
