"""The fields of Vlan. Words are those of ip-link(8), type vlan."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.kinds.placement import IfName
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, doc
from cell_reconciler.model.quantities import Mac


class VlanProtocol(StrEnum):
    """The tag's EtherType: 0x8100 and 0x88a8."""

    CUSTOMER = "802.1Q"
    SERVICE = "802.1ad"


class VlanSpec(Layer3, frozen=True, kw_only=True):
    """A VLAN of a NIC, a bond or a bridge as a link of its own. `metadata.name` is the link's name.

    A bridge for VMs on one VLAN needs no Vlan: `vlan` of Bridge makes one that comes and goes with the bridge.
    """

    parent: Annotated[
        IfName,
        doc(
            "The link whose frames carry the tag: a NIC, a Bond, a Bridge, or another Vlan (a tag in a tag). "
            "Changing it makes the link anew.",
            Effect.REPLACE,
            examples=["bond-VM"],
        ),
    ]
    id: Annotated[
        int,
        doc("Number of the VLAN. Changing it makes the link anew.", Effect.REPLACE, ge=1, le=4094, examples=[20]),
    ]
    protocol: Annotated[
        VlanProtocol,
        doc("`802.1ad` is the outer tag of two. Changing it makes the link anew.", Effect.REPLACE),
    ] = VlanProtocol.CUSTOMER
    mtu: (
        Annotated[
            int,
            doc(
                "Largest payload of a frame, in bytes; at most that of the parent. Absent: left as it is (at creation "
                "that of the parent, with which it shrinks but does not grow).",
                ge=68,
                le=65535,
            ),
        ]
        | UnsetType
    ) = UNSET
    mac: (
        Annotated[
            Mac,
            doc("Ethernet address. Absent: that of the parent, which it follows while it is the same."),
        ]
        | UnsetType
    ) = UNSET
    reorder_header: Annotated[
        bool, doc("Programs that listen on the link see frames without the tag, as from any other link.")
    ] = True
    gvrp: Annotated[bool, doc("Tell the switch by GVRP that this host wants the VLAN.")] = False
    loose_binding: Annotated[bool, doc("Stay up when the parent goes down, so that addresses and routes are kept.")] = (
        False
    )
