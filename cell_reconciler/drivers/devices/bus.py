"""What is on the buses: PCI functions, USB devices, mediated devices; and the huge pages that are set aside."""

from __future__ import annotations

import os
import re

from cell_reconciler.drivers.devices import sysfs
from cell_reconciler.model.host_devices import Mdev, MdevType, NicPlace, Pages, PciDevice, UsbDevice

PCI = "/sys/bus/pci/devices"
USB = "/sys/bus/usb/devices"
NET = "/sys/class/net"
MDEV = "/sys/bus/mdev/devices"
MDEV_PARENTS = "/sys/class/mdev_bus"
HUGEPAGES = "/sys/kernel/mm/hugepages"
_HUB = "09"  # USB device class
_SIZE = re.compile(r"hugepages-(\d+)kB")


def iommu() -> bool:
    """Does the kernel drive an IOMMU?"""
    return bool(sysfs.names("/sys/class/iommu") or sysfs.names("/sys/kernel/iommu_groups"))


def pci() -> dict[str, PciDevice]:
    os.listdir("/sys/bus")  # without it nothing can be told from a bus that is not there
    found = {}
    for address in sysfs.names(PCI):
        here = f"{PCI}/{address}"
        said = dict(sysfs.pairs(sysfs.text(f"{here}/uevent")))
        if "PCI_ID" not in said:
            continue  # unplugged just now
        numbers = [name for name in sysfs.names(here) if name.startswith("virtfn")]
        functions = (sysfs.target(f"{here}/{name}") for name in sorted(numbers, key=lambda n: int(n[len("virtfn") :])))
        found[address] = PciDevice(
            address=address,
            ids=said["PCI_ID"].lower(),
            kind=said.get("PCI_CLASS", "").lower().rjust(6, "0"),
            driver=said.get("DRIVER"),
            group=sysfs.target(f"{here}/iommu_group"),
            pf=sysfs.target(f"{here}/physfn"),
            vfs=tuple(function for function in functions if function),
        )
    return found


def usb() -> tuple[UsbDevice, ...]:
    found = []
    for port in sysfs.names(USB):
        here = f"{USB}/{port}"
        vendor, product = sysfs.text(f"{here}/idVendor"), sysfs.text(f"{here}/idProduct")
        if not vendor or not product:
            continue  # an interface of a device
        device = UsbDevice(
            port=port,
            bus=sysfs.number(f"{here}/busnum"),
            device=sysfs.number(f"{here}/devnum"),
            ids=f"{vendor}:{product}",
            hub=sysfs.text(f"{here}/bDeviceClass") == _HUB,
        )
        found.append(device)
    return tuple(found)


def nics() -> dict[str, NicPlace]:
    """Interfaces with hardware, but for those in other network namespaces, which the kernel does not show here."""
    places = {name: sysfs.place(f"{NET}/{name}") for name in sysfs.names(NET)}
    return {name: NicPlace(pci=place.pci, usb=place.usb) for name, place in places.items() if place.pci or place.usb}


def mdevs() -> dict[str, Mdev]:
    found = {}
    for uuid in sysfs.names(MDEV):
        here = f"{MDEV}/{uuid}"
        found[uuid] = Mdev(
            uuid=uuid,
            type=sysfs.target(f"{here}/mdev_type") or "",
            parent=os.path.basename(os.path.dirname(os.path.realpath(here))),
            group=sysfs.target(f"{here}/iommu_group"),
        )
    return found


def mdev_types() -> tuple[MdevType, ...]:
    found = []
    for parent in sysfs.names(MDEV_PARENTS):
        base = f"{MDEV_PARENTS}/{parent}/mdev_supported_types"
        for kind in sysfs.names(base):
            text, free = sysfs.text(f"{base}/{kind}/name"), sysfs.number(f"{base}/{kind}/available_instances")
            found.append(MdevType(parent=parent, type=kind, text=text, available=free))
    return tuple(found)


def hugepages() -> dict[int, Pages]:
    found = {}
    for name in sysfs.names(HUGEPAGES):
        match = _SIZE.fullmatch(name)
        if match:
            here = f"{HUGEPAGES}/{name}"
            free = sysfs.number(f"{here}/free_hugepages") - sysfs.number(f"{here}/resv_hugepages")
            found[int(match[1]) * 1024] = Pages(total=sysfs.number(f"{here}/nr_hugepages"), free=max(0, free))
    return found
