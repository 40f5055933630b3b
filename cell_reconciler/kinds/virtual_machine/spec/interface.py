"""The fields of a VM's network interfaces."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.virtual_machine import codec, devices
from cell_reconciler.kinds.virtual_machine.codec import host_device, traffic
from cell_reconciler.kinds.virtual_machine.spec.device import BootOrder, device_name
from cell_reconciler.kinds.virtual_machine.spec.host_device import Sriov
from cell_reconciler.kinds.virtual_machine.spec.traffic import Bandwidth, Filter
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Mac


class NicModel(StrEnum):
    VIRTIO = "virtio"
    E1000 = "e1000"
    E1000E = "e1000e"
    RTL8139 = "rtl8139"


class LinkState(StrEnum):
    UP = "up"
    DOWN = "down"  # as if the cable were out


class Interface(Spec, frozen=True, kw_only=True):
    """A network interface: on a Linux bridge, or a virtual function of a card. Exactly one of `bridge` and `sriov`."""

    name: Annotated[str, device_name("interface")]
    bridge: (
        Annotated[
            str,
            doc(
                "Name of a Bridge.",
                Effect.LIVE,
                min_length=1,
                max_length=15,
                pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$",  # of what the kernel takes, what libvirt's schema takes too
                xml=devices.BridgeName(),
            ),
        ]
        | UnsetType
    ) = UNSET
    sriov: (
        Annotated[
            Sriov,
            doc(
                "A virtual function of a card (SR-IOV), which the guest drives itself; its `vlan` is the card's.",
                Effect.RESTART,
                whole=True,
                xml=host_device.Function(),
            ),
        ]
        | UnsetType
    ) = UNSET
    vlan: (
        Annotated[
            int,
            doc(
                "VLAN id: the interface is put on the access bridge `<bridge>.<vlan>`, which is made with it; on a "
                "bridge with `vlanFiltering` it becomes an access port of that VLAN instead.",
                Effect.LIVE,
                ge=1,
                le=4094,
                xml=devices.Vlan(),
            ),
        ]
        | UnsetType
    ) = UNSET
    isolated: Annotated[
        bool,
        doc(
            "It reaches only ports of its bridge that are not isolated (the uplink), and the host: no other isolated "
            "VM. Set on the tap of the running VM, so it counts from some milliseconds after its start.",
        ),
    ] = False
    model: Annotated[NicModel, doc("The emulated card.", Effect.RESTART, xml=devices.Model())] = NicModel.VIRTIO
    mac: (
        Annotated[
            Mac,
            doc(
                "Ethernet address. Default: 52 and a hash of the names of VM and interface, so it never moves.",
                Effect.RESTART,
                xml=devices.MacAddress(),
            ),
        ]
        | UnsetType
    ) = UNSET
    boot_order: BootOrder | UnsetType = UNSET
    queues: (
        Annotated[
            int,
            doc(
                "Queues of a virtio interface, so that several vCPUs serve it. Absent: one.",
                Effect.RESTART,
                ge=1,
                le=256,
                xml=codec.Option("driver", "queues", kind=int),
            ),
        ]
        | UnsetType
    ) = UNSET
    mtu: (
        Annotated[
            int,
            doc(
                "Largest frame of the tap, and what a virtio guest is told. Absent: as the bridge has it.",
                Effect.RESTART,
                ge=68,
                le=65535,
                xml=codec.Option("mtu", "size", kind=int),
            ),
        ]
        | UnsetType
    ) = UNSET
    link: Annotated[
        LinkState,
        doc("`down`: the guest sees the cable out.", Effect.LIVE, xml=codec.Option("link", "state", absent="up")),
    ] = LinkState.UP
    bandwidth: (
        Annotated[
            Bandwidth,
            doc(
                "Limits of the interface's rate. Absent: none. The host's kernel needs the modules sch_htb, sch_sfq, "
                "sch_ingress, cls_u32, cls_fw and act_police.",
                Effect.LIVE,
                whole=True,
                xml=traffic.Limited(),
            ),
        ]
        | UnsetType
    ) = UNSET
    filter: (
        Annotated[
            Filter,
            doc(
                "A network filter of libvirt: which packets pass. Absent: all.",
                Effect.LIVE,
                whole=True,
                xml=codec.Flag("filterref"),
            ),
        ]
        | UnsetType
    ) = UNSET
