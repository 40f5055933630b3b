"""The fields of the host's devices that a VM gets for itself."""

from __future__ import annotations

from typing import Annotated

from cell_reconciler.kinds.placement import IfName
from cell_reconciler.kinds.virtual_machine.codec import host_device as codecs
from cell_reconciler.kinds.virtual_machine.spec.device import BootOrder, device_name
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc

PCI_ADDRESS = r"^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$"
IDS = r"^([1-9a-f][0-9a-f]{3}|0[1-9a-f][0-9a-f]{2}|00[1-9a-f][0-9a-f]|000[1-9a-f]):[0-9a-f]{4}$"  # no vendor is 0
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class Pci(Spec, frozen=True, kw_only=True):
    """A function on the PCI bus: by its address, or any free one of a vendor and device."""

    address: (
        Annotated[
            str,
            doc(
                "Where it is, as `lspci -D` prints it.",
                Effect.RESTART,
                pattern=PCI_ADDRESS,
                examples=["0000:3b:00.0"],
                xml=codecs.PciAddress(),
            ),
        ]
        | UnsetType
    ) = UNSET
    id: (
        Annotated[
            str,
            doc(
                "Vendor and device, as `lspci -n` prints them: the VM keeps the one that it has, and gets the first "
                "free one otherwise.",
                Effect.RESTART,
                pattern=IDS,
                examples=["1000:0097"],
                xml=codecs.Chosen(),
            ),
        ]
        | UnsetType
    ) = UNSET
    managed: Annotated[
        bool,
        doc(
            "libvirt takes it from its driver when the VM starts, and gives it back when the VM ends. `false`: "
            "somebody else does.",
            Effect.RESTART,
            xml=codecs.Managed(),
        ),
    ] = True


class Mdev(Spec, frozen=True, kw_only=True):
    """A mediated device (a vGPU), which was made before: `mdevctl`."""

    uuid: Annotated[str, doc("Its UUID on the host.", Effect.RESTART, pattern=_UUID, xml=codecs.MdevUuid())]


class Usb(Spec, frozen=True, kw_only=True):
    """A device on USB: by vendor and product, or by bus and number."""

    id: (
        Annotated[
            str,
            doc(
                "Vendor and product, as `lsusb` prints them; only one such may be plugged in.",
                Effect.RESTART,
                pattern=IDS,
                examples=["0529:0001"],
                xml=codecs.UsbId(),
            ),
        ]
        | UnsetType
    ) = UNSET
    bus: (
        Annotated[
            int,
            doc(
                "Bus, together with `device`. Plugging it in anew gives it another number.",
                Effect.RESTART,
                ge=1,
                le=999,
                xml=codecs.UsbNumber("bus"),
            ),
        ]
        | UnsetType
    ) = UNSET
    device: (
        Annotated[int, doc("Number on the bus.", Effect.RESTART, ge=1, le=999, xml=codecs.UsbNumber("device"))]
        | UnsetType
    ) = UNSET


class HostDevice(Spec, frozen=True, kw_only=True):
    """A device of the host that the VM has for itself: exactly one of `pci`, `mdev` and `usb`."""

    name: Annotated[str, device_name("host device")]
    pci: (
        Annotated[Pci, doc("A function on the PCI bus.", Effect.RESTART, whole=True, xml=codecs.Source("pci"))]
        | UnsetType
    ) = UNSET
    mdev: (
        Annotated[Mdev, doc("A mediated device.", Effect.RESTART, whole=True, xml=codecs.Source("mdev"))] | UnsetType
    ) = UNSET
    usb: Annotated[Usb, doc("A device on USB.", Effect.RESTART, whole=True, xml=codecs.Source("usb"))] | UnsetType = (
        UNSET
    )
    boot_order: BootOrder | UnsetType = UNSET


class Sriov(Spec, frozen=True, kw_only=True):
    """A virtual function of a card: exactly one of `nic` and `address`."""

    nic: (
        Annotated[
            IfName,
            doc(
                "Interface of the physical function: the VM keeps the VF that it has, and gets the first free one "
                "otherwise.",
                Effect.RESTART,
                xml=codecs.Chosen(),
            ),
        ]
        | UnsetType
    ) = UNSET
    address: (
        Annotated[
            str,
            doc(
                "Address of the VF itself, as `lspci -D` prints it.",
                Effect.RESTART,
                pattern=PCI_ADDRESS,
                xml=codecs.PciAddress(),
            ),
        ]
        | UnsetType
    ) = UNSET
