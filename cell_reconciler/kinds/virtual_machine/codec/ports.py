"""The PCI Express root ports of a domain: one for each device that needs one, and those that are spare.

A device can be plugged into a running q35 machine only where a port is free, and no port can be plugged. So the
definition always has ``hotplugPorts`` more than its devices need: one that is plugged in takes a spare port of the
instance, and the definition gets another, for the next start. How many the instance was started with stands in the note
that it carries (``metadata``): the ones that were used up since are not missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine import metadata
from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, add, child, remove
from cell_reconciler.kinds.virtual_machine.codec.board import Machine, machine_family

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

DEFAULT, MOST = 4, 64  # libvirt itself leaves one
# USB, virtio-serial, SCSI, rng, balloon, screen, watchdog's bridge: a port each, whether the VM has it or not.
_FIXED = 7


def spare(scope: Element) -> int:
    """Ports beyond those that the devices need."""
    devices = scope.find("devices")
    return sum(map(_port, () if devices is None else devices)) - _FIXED


def _port(device: Element) -> int:
    """1 for a port, -1 for what takes a port of its own, 0 for the rest."""
    tag = device.tag
    if tag == "controller":
        return int(device.get("model") == "pcie-root-port")
    if tag == "disk":
        target = device.find("target")
        return -int(target is not None and target.get("bus") == "virtio")
    return -int(tag in ("interface", "vsock") or (tag == "hostdev" and device.get("type") in ("pci", "mdev")))


def _has_ports(scope: Element) -> bool:
    return machine_family(Machine().read(scope)) == "q35"


def noted(value: Any) -> int | None:
    """How the note has a ``hotplugPorts``; None on a board without such ports."""
    return None if absent(value) else int(value)


class HotplugPorts(Codec):
    """How many ports are spare; None on a board without such ports. Its field stands behind those of the devices."""

    def read(self, scope: Element) -> int | None:
        if not _has_ports(scope):
            return None
        note, there = metadata.read(scope), min(max(spare(scope), 0), MOST)
        if note.ports is None:  # ours from before there was a note, or somebody else's
            return DEFAULT if note.mark and not note.mark.adopted else there
        running = scope.get("id") is not None
        return note.ports if running else min(note.ports, there)

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value) or not _has_ports(scope):
            return
        devices, indices = child(scope, "devices"), self._indices(scope)
        if not indices:
            add(devices, "controller", type="pci", index="0", model="pcie-root")
            indices = {0: None}
        for index in range(max(indices) + 1, max(indices) + 1 + value - spare(scope)):
            add(devices, "controller", type="pci", index=str(index), model="pcie-root-port")
        for index in sorted(self._indices(scope), reverse=True)[: max(spare(scope) - value, 0)]:
            port = self._indices(scope)[index]
            if port is None or self._taken(scope, index):
                break  # libvirt fills a gap below it anyway
            remove(port)

    def _indices(self, scope: Element) -> dict[int, Element | None]:
        """Every PCI controller's index; its element where it is a root port."""
        found = {}
        for controller in scope.findall("devices/controller[@type='pci']"):
            port = controller if controller.get("model") == "pcie-root-port" else None
            found[int(controller.get("index") or 0)] = port
        return found

    def _taken(self, scope: Element, bus: int) -> bool:
        addresses = scope.findall("devices/*/address[@type='pci']")
        return any(int(address.get("bus") or "0", 16) == bus for address in addresses)
