"""The host on which a document can be planned as it is: with a Cluster, and with every device that the document names.

A document that leaves a choice to us (a function by its ids, any VF of a card) finds as many as it asks for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine.codec import said
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import HostDevices, Mdev, NicPlace, Pages, PciDevice, UsbDevice
from cell_reconciler.model.live import HostCpus, Live
from tests.kinds.vm.make import document, pool, settled, world

POOL = pool("local", "/var/lib/libvirt/images/cell")
CLUSTER = document(
    {
        "apiVersion": "cell/v1",
        "kind": "Cluster",
        "metadata": {"name": "all"},
        "spec": {"cpuBaseline": {"model": "EPYC", "features": {"require": ["pcid"], "disable": ["avx2"]}}},
    }
)
PLENTY = Pages(total=2**40, free=2**40)
VFS = 8  # of each card: as many as interfaces in a VM


def around(doc: Document, live: Live | None = None) -> World:
    """What the document is planned in: as the host is that made its image and set its password, with its devices."""
    there = msgspec.structs.replace(live or Live(host="h1"), devices=devices_of(doc))
    return world(POOL, CLUSTER, doc, live=settled(doc, there))


def on_host(doc: Document, live: Live, images: Document) -> World:
    """The same on a real host, of which nothing else is known but what it says itself."""
    there = msgspec.structs.replace(live, node=None, cpus=HostCpus(), devices=devices_of(doc))
    return world(images, CLUSTER, doc, live=there)


def devices_of(doc: Document) -> HostDevices:
    """Each device is in an IOMMU group of its own, and nothing of the host uses it."""
    pci = [_function(address) for address in _addresses(doc)]
    pci += [_function(f"fffe:{n:02x}:00.0", ids) for n, ids in enumerate(_ids(doc))]
    nics = {}
    for n, card in enumerate(sorted(_cards(doc))):
        vfs = tuple(f"ffff:{n:02x}:01.{function}" for function in range(VFS))
        pci += [_function(f"ffff:{n:02x}:00.0", vfs=vfs), *(_function(vf, pf=f"ffff:{n:02x}:00.0") for vf in vfs)]
        nics[card] = NicPlace(pci=(f"ffff:{n:02x}:00.0",))
    mdevs = [said(device.mdev).uuid for device in doc.spec.host_devices if said(device.mdev)]
    return HostDevices(
        iommu=True,
        pci={function.address: function for function in pci},
        usb=tuple(_usb(doc)),
        nics=nics,
        mdevs={uuid: Mdev(uuid=uuid, type="t", parent="0000:b0:00.0", group=uuid) for uuid in mdevs},
        hugepages={2 << 20: PLENTY, 1 << 30: PLENTY},
    )


def _function(address: str, ids: str = "1af4:1041", **more: Any) -> PciDevice:
    return PciDevice(address=address, ids=ids, kind="ff0000", group=address, **more)


def _addresses(doc: Document) -> list[str]:
    named = [device.pci for device in doc.spec.host_devices] + [nic.sriov for nic in doc.spec.interfaces]
    return [which.address for which in named if said(which) and said(which.address)]


def _ids(doc: Document) -> list[str]:
    return [device.pci.id for device in doc.spec.host_devices if said(device.pci) and said(device.pci.id)]


def _cards(doc: Document) -> set[str]:
    return {nic.sriov.nic for nic in doc.spec.interfaces if said(nic.sriov) and said(nic.sriov.nic)}


def _usb(doc: Document) -> list[UsbDevice]:
    """By ids on a bus 0 that no document names, so that it is never the one of a bus and a number."""
    named = [device.usb for device in doc.spec.host_devices if said(device.usb)]
    by_ids = [UsbDevice(port=f"0-{n}", bus=0, device=n, ids=usb.id) for n, usb in enumerate(named) if said(usb.id)]
    others = [usb for usb in named if not said(usb.id)]
    return by_ids + [
        UsbDevice(port=f"{usb.bus}-{usb.device}", bus=usb.bus, device=usb.device, ids="ffff:ffff") for usb in others
    ]
