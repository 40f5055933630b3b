"""The drive with drivers for a guest that has none for virtio: Windows, by the image that the Cluster document names.

Pure. The path is declared once, for all hosts that a VM may move between, so that what a VM has does not depend on
where it is. Whoever has a drive for it in the VM's document, or the image in another one, keeps that; an adopted VM
gets none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import baseline, guest_os, observe, resolve
from cell_reconciler.kinds.virtual_machine.rules_devices import MOST_IDE, on_ide
from cell_reconciler.kinds.virtual_machine.spec import Cdrom, DiskBus, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.disk import CdromBus
from cell_reconciler.kinds.virtual_machine.spec.interface import NicModel
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

DRIVE = "guest-drivers"  # the name of the drive among the VM's devices
DRIVE_PATH = f"spec.cdroms[{DRIVE}]"


def wanted(spec: VirtualMachineSpec) -> bool:
    """Has the VM a device that its guest finds only with drivers from elsewhere?"""
    guest = guest_os.of(spec)
    if guest is None or guest.family != guest_os.WINDOWS:
        return False
    disks = any(disk.bus in (DiskBus.VIRTIO, DiskBus.SCSI) for disk in spec.disks)
    return disks or any(nic.model == NicModel.VIRTIO for nic in spec.interfaces)


def offered(doc: Document, documents: Mapping[Key, Document]) -> str | None:
    """The image in the drive that a VM gets beside those of its document; None when it gets none."""
    spec: VirtualMachineSpec = doc.spec
    if doc.adopts or not wanted(spec):  # before the search for a document: each VM of a pass asks several times
        return None
    cluster = baseline.cluster(documents)
    if cluster is None or cluster.driver_images.windows is UNSET:
        return None
    path = str(cluster.driver_images.windows)
    devices: tuple[Any, ...] = (*spec.disks, *spec.cdroms, *spec.interfaces, *spec.host_devices)
    if any(device.name == DRIVE for device in devices) or any(drive.media == path for drive in spec.cdroms):
        return None
    return path if resolve.tray(spec.machine) != CdromBus.IDE or len(on_ide(spec)) < MOST_IDE else None


def with_drive(want: VirtualMachineSpec, doc: Document, world: World) -> VirtualMachineSpec:
    """The effective spec with that drive among its drives."""
    path = offered(doc, world.documents)
    if path is None:
        return want
    domain = world.live.domains.get(doc.key.name)
    mark = None if domain is None else observe.mark_of(domain)
    if mark is not None and mark.adopted:
        return want
    made: Any = {"name": DRIVE, "bus": resolve.tray(want.machine), "media": path, "boot_order": None}  # effective
    return msgspec.structs.replace(want, cdroms=(*want.cdroms, Cdrom(**made)))


def told(doc: Document, documents: Mapping[Key, Document]) -> tuple[str, ...]:
    """What the VM gets, for people: a line, or none."""
    path = offered(doc, documents)
    return (f"of guestOS {doc.spec.guest_os}: drive {DRIVE} with {path}, as the Cluster document says",) if path else ()
