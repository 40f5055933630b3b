"""The devices of a host as its kernel reports them, and what of the host hangs on each.

``uses_of`` is the answer that protects a host's own disks: everything that it mounts, swaps to or has assembled on a
block device, each with the whole chain as text: ``sda > sda2 > vg0-root > /``. A partition, a LUN or a controller is
asked the same way: by the block devices that it carries.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

_BRIDGE = "06"  # the PCI class of bridges: they stay with the host, whatever is behind them


class PciDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A function on the PCI bus, or a virtual one of SR-IOV."""

    address: str  # 0000:3b:00.0
    ids: str  # vendor and device as lspci -n prints them: 8086:10d3
    kind: str  # class in six hex digits: 010700 is a SAS controller
    driver: str | None = None
    group: str | None = None  # IOMMU group; None: there is no IOMMU for it
    pf: str | None = None  # of a VF: the physical function that it belongs to
    vfs: tuple[str, ...] = ()  # of a PF: its VFs in the order of their numbers

    @property
    def bridge(self) -> bool:
        return self.kind.startswith(_BRIDGE)


class UsbDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device on USB."""

    port: str  # 1-1.2: where it is plugged in
    bus: int
    device: int
    ids: str  # as lsusb prints them: 0529:0001
    hub: bool = False


class Mdev(msgspec.Struct, frozen=True, kw_only=True):
    """A mediated device (a vGPU)."""

    uuid: str
    type: str
    parent: str  # PCI address
    group: str | None = None


class MdevType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of mediated devices that a parent can make."""

    parent: str
    type: str
    text: str
    available: int


class NicPlace(msgspec.Struct, frozen=True, kw_only=True):
    """What a network interface hangs on."""

    pci: tuple[str, ...] = ()  # the PCI functions, from the root of the bus; the last one is the card
    usb: str | None = None  # the USB port


class BlockDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A disk, a partition, or what device-mapper and md make of others."""

    name: str  # the kernel's: sda2, dm-0
    label: str  # as people know it: sda2, vg0-root
    size: int  # bytes
    names: tuple[str, ...] = ()  # every path in /dev that leads to it
    disk: str | None = None  # of a partition: what it is a part of
    slaves: tuple[str, ...] = ()  # the block devices below
    pci: tuple[str, ...] = ()  # the PCI functions that it hangs on, from the root of the bus
    usb: str | None = None  # the USB port that it hangs on


class BlockUse(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What the host does with a block device: a mount point, ``swap``, ``/boot/efi in fstab``, ``Ceph osd.3``."""

    block: str
    what: str


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """Huge pages of one size."""

    total: int
    free: int  # neither in use nor promised to somebody


class HostDevices(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of a host's devices."""

    iommu: bool = False
    pci: dict[str, PciDevice] = {}  # by address
    usb: tuple[UsbDevice, ...] = ()
    nics: dict[str, NicPlace] = {}  # network interfaces with hardware, by name
    mdevs: dict[str, Mdev] = {}  # by UUID
    mdev_types: tuple[MdevType, ...] = ()
    blocks: dict[str, BlockDevice] = {}  # by the kernel's name
    uses: tuple[BlockUse, ...] = ()
    hugepages: dict[int, Pages] = {}  # by size in bytes

    def block_at(self, path: str) -> BlockDevice | None:
        """The block device that a path in /dev leads to."""
        return next((block for block in self.blocks.values() if path in block.names), None)

    def group_of(self, device: PciDevice) -> tuple[PciDevice, ...]:
        """The other functions of its IOMMU group: the hardware cannot keep them apart."""
        if device.group is None:
            return ()
        return tuple(d for d in self.pci.values() if d.group == device.group and d.address != device.address)


def on_pci(devices: HostDevices, address: str) -> tuple[BlockDevice, ...]:
    """The block devices that hang on a PCI function, whatever is in between; their partitions are left out."""
    return tuple(b for b in devices.blocks.values() if address in b.pci and b.disk is None)


def on_usb(devices: HostDevices, port: str) -> tuple[BlockDevice, ...]:
    """The block devices that hang on a USB port, whatever is in between."""
    return tuple(b for b in devices.blocks.values() if b.usb == port and b.disk is None)


def above(devices: HostDevices, name: str) -> Iterator[BlockDevice]:
    """What is made of a block device, next to it: its partitions, and who holds it."""
    for block in devices.blocks.values():
        if block.disk == name or name in block.slaves:
            yield block


def all_above(devices: HostDevices, name: str) -> frozenset[str]:
    """Names of a block device and of everything that is made of it."""
    found, queue = {name}, [name]
    while queue:
        for block in above(devices, queue.pop()):
            if block.name not in found:
                found.add(block.name)
                queue.append(block.name)
    return frozenset(found)


def overlap(devices: HostDevices, one: str, other: str) -> bool:
    """Does writing to one block device change the other?"""
    return other in all_above(devices, one) or one in all_above(devices, other)


def uses_of(devices: HostDevices, name: str) -> tuple[str, ...]:
    """Everything of the host that is on a block device, each with its chain; empty: nothing is."""
    if name not in devices.blocks:
        return ()
    return tuple(_chains(devices, devices.blocks[name], ()))


def _chains(devices: HostDevices, block: BlockDevice, below: tuple[str, ...]) -> Iterator[str]:
    path = (*below, block.label)
    for use in devices.uses:
        if use.block == block.name:
            yield " > ".join((*path, use.what))
    for other in above(devices, block.name):
        if other.label in path:
            continue  # the kernel allows no ring; one that a snapshot shows must not hang us
        found = list(_chains(devices, other, path))
        yield from found
        if not found and other.disk is None:  # assembled, though nothing of it is mounted: the host may write to it
            yield " > ".join((*path, other.label, "active"))
