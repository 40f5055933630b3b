"""The fields of Host."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.placement import Placed
from cell_reconciler.model.fields import Effect, doc


class DomainType(StrEnum):
    """libvirt's ``<domain type=…>``."""

    KVM = "kvm"
    QEMU = "qemu"  # TCG: emulation in software, for labs and tests


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
