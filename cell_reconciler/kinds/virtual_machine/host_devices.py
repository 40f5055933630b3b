"""Which devices of the host a VM asks for, and which of them it gets."""

from __future__ import annotations

from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.fields import UNSET


def needed(spec: VirtualMachineSpec) -> bool:
    """Does the VM need anything of the host's devices: must they be known to plan it?"""
    return spec.memory.hugepages is not UNSET or any(disk.source and disk.source.block for disk in spec.disks)
