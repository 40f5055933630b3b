"""What of the host is on a device: through partitions, RAID, LVM, multipath, and by the controller."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.model.host_devices import (
    BlockDevice,
    BlockUse,
    HostDevices,
    all_above,
    on_pci,
    on_usb,
    overlap,
    uses_of,
)

HBA, OTHER_HBA = "0000:3b:00.0", "0000:5e:00.0"


def disk(name: str, *pci: str, **more: Any) -> BlockDevice:
    return BlockDevice(name=name, label=more.pop("label", name), size=1 << 30, names=(f"/dev/{name}",), pci=pci, **more)


def part(name: str, of: str, *pci: str) -> BlockDevice:
    return disk(name, *pci, disk=of)


def host(*blocks: BlockDevice, **uses: str) -> HostDevices:
    """``sda2="/,swap"``; ``dm_0`` stands for dm-0."""
    found = [
        BlockUse(block=name.replace("_", "-"), what=what) for name, all_of in uses.items() for what in all_of.split(",")
    ]
    return HostDevices(blocks={block.name: block for block in blocks}, uses=tuple(found))


RAID_LVM = host(
    disk("sda", "0000:3a:00.0", HBA),
    part("sda1", "sda", "0000:3a:00.0", HBA),
    part("sda2", "sda", "0000:3a:00.0", HBA),
    disk("sdb", OTHER_HBA),
    part("sdb1", "sdb", OTHER_HBA),
    disk("sdc", OTHER_HBA),
    disk("md0", slaves=("sda2", "sdb1")),
    disk("dm-0", label="vg0-root", slaves=("md0",)),
    disk("dm-1", label="vg0-swap", slaves=("md0",)),
    sda1="/boot/efi",
    dm_0="/,/srv",
    dm_1="swap",
)


def test_the_whole_chain_is_told() -> None:
    chains = ("md0 > vg0-root > /", "md0 > vg0-root > /srv", "md0 > vg0-swap > swap")
    assert uses_of(RAID_LVM, "sda") == ("sda > sda1 > /boot/efi", *(f"sda > sda2 > {chain}" for chain in chains))
    assert uses_of(RAID_LVM, "sdb") == tuple(f"sdb > sdb1 > {chain}" for chain in chains)
    assert uses_of(RAID_LVM, "sdc") == ()
    assert uses_of(RAID_LVM, "nosuch") == ()


def test_a_part_has_only_what_is_on_it() -> None:
    assert uses_of(RAID_LVM, "sda1") == ("sda1 > /boot/efi",)
    assert uses_of(RAID_LVM, "dm-1") == ("vg0-swap > swap",)


def test_a_controller_has_the_disks_behind_it() -> None:
    assert [block.name for block in on_pci(RAID_LVM, HBA)] == ["sda"]
    assert [block.name for block in on_pci(RAID_LVM, OTHER_HBA)] == ["sdb", "sdc"]
    assert [block.name for block in on_pci(RAID_LVM, "0000:3a:00.0")] == ["sda"], "and a bridge above it"


@pytest.mark.parametrize("holder", ["md0", "dm-0", "bcache0"])
def test_what_is_assembled_is_used_though_nothing_is_mounted(holder: str) -> None:
    found = host(disk("sda"), part("sda1", "sda"), disk(holder, slaves=("sda1",)), part(f"{holder}p1", holder))
    assert uses_of(found, "sda") == (f"sda > sda1 > {holder} > active",)


def test_all_ways_of_a_multipath_lead_to_what_is_mounted() -> None:
    found = host(
        disk("sda", HBA),
        disk("sdb", OTHER_HBA),
        disk("dm-0", label="mpatha", slaves=("sda", "sdb")),
        disk("dm-1", label="mpatha-part1", slaves=("dm-0",)),
        dm_1="/",
    )
    for way in ("sda", "sdb"):
        assert uses_of(found, way) == (f"{way} > mpatha > mpatha-part1 > /",)
    assert uses_of(found, "dm-0") == ("mpatha > mpatha-part1 > /",)


def test_a_ring_in_a_snapshot_does_not_hang() -> None:
    found = host(disk("dm-0", slaves=("dm-1",)), disk("dm-1", slaves=("dm-0",)), dm_1="/")
    assert uses_of(found, "dm-0") == ("dm-0 > dm-1 > /",)
    assert all_above(found, "dm-0") == {"dm-0", "dm-1"}


def test_a_disk_and_what_is_made_of_it_are_the_same_data() -> None:
    assert overlap(RAID_LVM, "sda", "dm-0")
    assert overlap(RAID_LVM, "dm-0", "sdb")
    assert overlap(RAID_LVM, "sdc", "sdc")
    assert not overlap(RAID_LVM, "sda1", "sda2")
    assert not overlap(RAID_LVM, "sda", "sdc")


def test_a_stick_on_usb_is_found_by_its_port() -> None:
    found = host(disk("sdd", "0000:00:14.0", usb="1-4"), part("sdd1", "sdd"), sdd1="/")
    assert [uses_of(found, block.name) for block in on_usb(found, "1-4")] == [("sdd > sdd1 > /",)]
    assert on_usb(found, "1-5") == ()
