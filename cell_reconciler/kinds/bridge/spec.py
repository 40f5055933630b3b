"""The fields of Bridge."""

from __future__ import annotations

from typing import Annotated

from cell_reconciler.kinds.placement import IfName, Placed
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, doc
from cell_reconciler.model.quantities import Mac

Cidr = Annotated[
    str,
    doc(
        "An IPv4 or IPv6 address with its prefix length.",
        pattern=r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$",
        max_length=49,
    ),
]


class BridgeSpec(Placed, frozen=True, kw_only=True):
    """A Linux bridge: what VMs are plugged into. `metadata.name` is the link's name."""

    uplink: (
        Annotated[
            IfName,
            doc(
                "The NIC or Bond that connects the bridge to the network outside. Absent: none, the bridge is the "
                "host's own. Ports that others plug in (VMs) are left alone in any case.",
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
        doc("Spanning Tree Protocol. With it, a new port forwards only after twice the forward delay (30 s)."),
    ] = False
    mtu: (
        Annotated[
            int,
            doc(
                "Largest payload of a frame, in bytes, also of the VLAN device. At most that of the uplink. "
                "Absent: left to the kernel, which follows the smallest port.",
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
    addresses: Annotated[
        tuple[Cidr, ...],
        doc(
            "Addresses of the host on this bridge, in any order. Addresses that others set are left alone.",
            unordered=True,
            examples=[["10.0.0.11/24", "fd00::11/64"]],
        ),
    ] = ()
