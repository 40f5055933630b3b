"""What a board needs for more than 255 vCPUs: interrupts with 32 bits for the CPU that they are for.

On q35 that is Intel's I/O MMU with interrupt remapping in extended mode, and an I/O APIC in QEMU. Nobody declares them:
they come with the 256th vCPU, and go with it if they were ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cell_reconciler.kinds.virtual_machine.codec import add, child, drop
from cell_reconciler.kinds.virtual_machine.codec.board import Machine, machine_family

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

MOST = 255  # with 8 bits for the CPU; one number means all of them


def outfit(root: Element, *, ours: bool) -> bool:
    """Make it so; returns whether they are ours now. ``ours``: what is there, we put there."""
    needed = int(root.findtext("vcpu") or 1) > MOST and machine_family(Machine().read(root)) == "q35"
    if needed:
        there = root.find("devices/iommu") is not None
        iommu = child(root, "devices/iommu")
        if not there:
            iommu.set("model", "intel")
        driver = child(iommu, "driver")
        for name in ("intremap", "eim"):
            driver.set(name, "on")
        apic = root.find("features/ioapic")
        if apic is None:
            add(child(root, "features"), "ioapic", driver="qemu")
        return ours or not there
    if ours:
        drop(root, "devices/iommu")
        drop(root, "features/ioapic")
    return False
