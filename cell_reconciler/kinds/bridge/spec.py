"""The fields of Bridge."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.links.ports import BridgePort
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.kinds.placement import IfName
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, doc
from cell_reconciler.model.quantities import Duration, Mac


class TagProtocol(StrEnum):
    """The EtherType of the tags that a filtering bridge looks at."""

    CUSTOMER = "802.1Q"
    SERVICE = "802.1ad"


class BridgeMode(StrEnum):
    """Who may reach whom by a bridge, and whose it is."""

    NORMAL = "normal"
    INTERNAL = "internal"
    RESERVED = "reserved"


class BridgeSpec(Layer3, frozen=True, kw_only=True):
    """A Linux bridge: what VMs are plugged into. `metadata.name` is the link's name."""

    mode: Annotated[
        BridgeMode,
        doc(
            "`internal`: the host and what is plugged in reach each other by link-local addresses, and nobody else "
            "by it: no uplink, nothing routed, no traffic between its ports, kept so by nftables (needs the package "
            "python3-nftables). `reserved`: another agent owns the bridge; it is only watched. A bridge named cloud0 "
            "is one of the two.",
        ),
    ] = BridgeMode.NORMAL
    uplink: (
        Annotated[
            IfName,
            doc(
                "The NIC, Bond or Vlan that connects the bridge to the network outside. Absent: none, the bridge is "
                "the host's own. Ports that others plug in (VMs) are left alone in any case.",
                Effect.REPLACE,
                examples=["bond-VM"],
                absent_is_none=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    vlan: (
        Annotated[
            int,
            doc(
                "Makes it an access bridge of this VLAN: the bridge is on the VLAN device `<uplink>.<vlan>`, which is "
                "made with it and goes with it. Needs `uplink`.",
                Effect.REPLACE,
                ge=1,
                le=4094,
                examples=[101],
                absent_is_none=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    stp: Annotated[
        bool,
        doc(
            "Spanning Tree Protocol. With it, a new port forwards only after twice the forward delay.",
            netlink="br_stp_state",
        ),
    ] = False
    forward_delay: Annotated[
        Duration,
        doc(
            "How long a port listens, and then learns, before it forwards; with STP 2s to 30s. Counts with STP only.",
            netlink="br_forward_delay",
        ),
    ] = Duration(15)
    hello_time: Annotated[
        Duration, doc("Time between two BPDUs of the root bridge: 1s to 10s.", netlink="br_hello_time")
    ] = Duration(2)
    max_age: Annotated[
        Duration, doc("How long the word of the root bridge counts: 6s to 40s.", netlink="br_max_age")
    ] = Duration(20)
    priority: Annotated[
        int,
        doc("Priority for STP: the bridge with the lowest becomes the root.", ge=0, le=65535, netlink="br_priority"),
    ] = 32768
    ageing_time: Annotated[
        Duration,
        doc(
            "How long the bridge remembers at which port an address was seen. 0s: not at all.", netlink="br_ageing_time"
        ),
    ] = Duration(300)
    multicast_snooping: Annotated[
        bool, doc("Send multicast frames only to who asked for them (IGMP, MLD).", netlink="br_mcast_snooping")
    ] = True
    multicast_querier: Annotated[
        bool,
        doc(
            "Ask who listens to multicast. Snooping needs somebody on the network who does.", netlink="br_mcast_querier"
        ),
    ] = False
    group_forward_mask: Annotated[
        int,
        doc(
            "Which link-local multicast frames 01:80:C2:00:00:0X are forwarded, one bit for each X: 8 for X = 3, "
            "0x4000 for LLDP. The kernel never forwards the first three (STP, pause, LACP).",
            ge=0,
            le=65535,
            netlink="br_group_fwd_mask",
        ),
    ] = 0
    vlan_filtering: Annotated[
        bool,
        doc(
            "Each port carries only its own VLANs (`ports`); an interface of a VM with `vlan` becomes an access port. "
            "A port without settings, also the uplink, is an untagged port of `vlanDefaultPvid` and of nothing else: "
            "give the uplink a `trunk` of the VLANs that VMs use.",
            netlink="br_vlan_filtering",
        ),
    ] = False
    vlan_default_pvid: Annotated[
        int,
        doc(
            "The VLAN that a new port, and the host itself, is an untagged member of. 0: none.",
            ge=0,
            le=4094,
            netlink="br_vlan_default_pvid",
        ),
    ] = 1
    vlan_protocol: Annotated[
        TagProtocol,
        doc("Which tags it looks at: `802.1ad` are the outer ones of two.", netlink="br_vlan_protocol"),
    ] = TagProtocol.CUSTOMER
    ports: Annotated[
        tuple[BridgePort, ...],
        doc(
            "Settings of ports, by name: of the uplink, or of anything else that is plugged in. A link does not become "
            "a port by being listed, and no port is taken off because it is not. A port that is not listed keeps "
            "what it has.",
            examples=[[{"name": "bond-VM", "vlans": {"native": 1, "trunk": ["100-200", 300]}}]],
        ),
    ] = ()
    mtu: (
        Annotated[
            int,
            doc(
                "Largest payload of a frame, in bytes, also of the VLAN device. At most that of the uplink. "
                "It is pinned: a port with a smaller one does not change it. Absent: left to the kernel, which follows "
                "the smallest port.",
                ge=68,
                le=65535,
            ),
        ]
        | UnsetType
    ) = UNSET
    mac: (
        Annotated[
            Mac,
            doc(
                "Ethernet address of the bridge itself. Absent: at creation that of the uplink, or a stable one made "
                "from the names of host and bridge; it is pinned, so that no port changes it."
            ),
        ]
        | UnsetType
    ) = UNSET
