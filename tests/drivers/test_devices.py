"""The door to the host's devices, on the machine that the tests run on. What takes a kernel of one's own (LVM, md,
dm-crypt, an IOMMU) is in ``tests/kernel/inside/test_vm_devices.py``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from cell_reconciler.drivers.devices import DevicesDoor
from cell_reconciler.model.host_devices import HostDevices, uses_of
from tests.process import run


@pytest.fixture(scope="module")
def devices() -> HostDevices:
    found = DevicesDoor().observe()["devices"]
    assert isinstance(found, HostDevices)
    return found


def test_every_block_device_of_the_kernel_is_there_with_its_size(devices: HostDevices) -> None:
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        kib, name = line.split()[2:4]
        assert devices.blocks[name].size == int(kib) * 1024


def test_a_mounted_device_is_in_use(devices: HostDevices) -> None:
    mounted = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        path, where = line.split()[:2]
        if path.startswith("/dev/") and os.path.exists(path):
            mounted[os.path.basename(os.path.realpath(path))] = where
    for name, where in mounted.items():
        assert any(use.endswith(f"> {where}") for use in uses_of(devices, name)), (name, where)


def test_every_pci_function_has_its_ids_and_driver(devices: HostDevices) -> None:
    there = Path("/sys/bus/pci/devices")
    assert devices.pci.keys() == ({path.name for path in there.iterdir()} if there.exists() else set())
    for address, device in devices.pci.items():
        vendor, card = ((there / address / name).read_text().strip()[2:] for name in ("vendor", "device"))
        assert device.ids == f"{vendor}:{card}"
        driver = there / address / "driver"
        assert device.driver == (driver.resolve().name if driver.exists() else None)


def test_it_goes_through_json_and_back(devices: HostDevices) -> None:
    assert msgspec.json.decode(msgspec.json.encode(devices), type=HostDevices) == devices


BLIND = """
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.observe import observe
from cell_reconciler.model.live import Source
live = observe(Doors(), "h1", {}, (Source.DEVICES,))
print(live.devices, *(gap.source for gap in live.gaps), *(gap.reason for gap in live.gaps))
"""


@pytest.mark.live
def test_without_sysfs_nothing_is_known() -> None:
    """An empty /sys in a mount namespace of its own: no disk may look unused."""
    script = 'mount -t tmpfs none /sys && exec "$0" -c "$1"'
    done = run(["unshare", "--mount", "sh", "-ec", script, sys.executable, BLIND])
    assert done.stdout.startswith("None devices /sys/class/block: No such file or directory"), done.stdout
