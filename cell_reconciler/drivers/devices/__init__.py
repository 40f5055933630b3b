"""The door to the host's devices: sysfs, /proc and the names in /dev, read in one go.

Nothing is opened but directories and small files, nothing is called for one object alone that a listing tells, and
nothing is written. What cannot be read is unknown: it makes the whole observation
unreachable, since a disk whose users are not known must not look like one that nobody uses.
"""

from __future__ import annotations

from typing import Any

from cell_reconciler.drivers.devices import block, bus, uses
from cell_reconciler.errors import Unreachable
from cell_reconciler.model.host_devices import HostDevices


class DevicesDoor:
    """Reads what the kernel says; holds nothing open."""

    def observe(self) -> dict[str, Any]:
        """``{"devices": HostDevices}``. Raises Unreachable."""
        try:
            numbers = block.numbers()
            blocks = block.blocks(numbers)
            found = HostDevices(
                iommu=bus.iommu(),
                pci=bus.pci(),
                usb=bus.usb(),
                nics=bus.nics(),
                mdevs=bus.mdevs(),
                mdev_types=bus.mdev_types(),
                blocks=blocks,
                uses=uses.uses(blocks, numbers),
                hugepages=bus.hugepages(),
            )
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            raise Unreachable("devices", reason, "are sysfs and /proc mounted, and may they be read?") from error
        return {"devices": found}
