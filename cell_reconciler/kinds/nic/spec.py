"""The fields of Nic."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Mac


class AdminState(StrEnum):
    """As `ip link set` has it."""

    UP = "up"
    DOWN = "down"


class NicMatch(Spec, frozen=True, kw_only=True):
    """Which card the name has to stand for. Names move between cards when firmware or slots change."""

    permanent_mac: (
        Annotated[
            Mac,
            doc("The address that the card was made with (`ethtool -P`).", Effect.POLICY),
        ]
        | UnsetType
    ) = UNSET
    pci: (
        Annotated[
            str,
            doc(
                "The address of the card on the PCI bus (bus-info of `ethtool -i`).",
                Effect.POLICY,
                pattern=r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$",
                examples=["0000:3b:00.0"],
            ),
        ]
        | UnsetType
    ) = UNSET


class NicSpec(Layer3, frozen=True, kw_only=True):
    """A network interface that is there: never made, never deleted, never renamed.

    `metadata.name` is its name. Only the fields that the document names are set, and its state; a NIC that is only a
    member of a bond or the uplink of a bridge needs no document. When the document goes, what it brought goes
    (addresses, routes, rules), and the NIC stays as it is.
    """

    match: (
        Annotated[NicMatch, doc("Which card it has to be; if it is another one, nothing is done.", Effect.POLICY)]
        | UnsetType
    ) = UNSET
    admin_state: Annotated[
        AdminState,
        doc("Whether the interface is up. A NIC in use (in a bond, a bridge, under a VLAN) has to be."),
    ] = AdminState.UP
    mtu: (
        Annotated[
            int,
            doc(
                "Largest payload of a frame, in bytes. That of a bond's member is declared on the bond.",
                ge=68,
                le=65535,
            ),
        ]
        | UnsetType
    ) = UNSET
