"""The door to the host's devices: sysfs, /proc and the names in /dev, read in one go.

Nothing is opened but directories and small files (``held`` excepted, which says why), nothing is called for one object
alone that a listing tells, and nothing is written. What cannot be read is unknown: it makes the whole observation
unreachable, since a disk whose users are not known must not look like one that nobody uses.
"""

from __future__ import annotations

import errno
import os
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

    def held(self, name: str) -> bool:
        """Does the kernel hold this block device, or a part of it, for somebody (``O_EXCL`` of open(2))?

        It knows of mounts in every namespace, and of ZFS and md too. Only for the moment before a device is given away:
        whoever wants to mount it at the same instant is told that it is busy. Raises Unreachable when it may not ask.
        """
        try:
            os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
        except PermissionError as error:
            reason = f"/dev/{name}: {error.strerror}"
            raise Unreachable("devices", reason, "let the service read block devices: DeviceAllow=block-* r") from error
        except OSError as error:
            return error.errno == errno.EBUSY  # else it has gone, or has no medium
        return False
