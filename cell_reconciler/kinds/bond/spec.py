"""The fields of Bond. Names and limits are those of the kernel's Documentation/networking/bonding."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.placement import IfName, Placed
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, doc
from cell_reconciler.model.quantities import Mac


class BondMode(StrEnum):
    """The seven modes of the kernel's bonding driver, by its own names; the order is that of its numbers."""

    BALANCE_RR = "balance-rr"
    ACTIVE_BACKUP = "active-backup"
    BALANCE_XOR = "balance-xor"
    BROADCAST = "broadcast"
    LACP = "802.3ad"
    BALANCE_TLB = "balance-tlb"
    BALANCE_ALB = "balance-alb"


# The modes in which one member can be preferred (bond_opts[BOND_OPT_PRIMARY].unsuppmodes in the kernel).
PRIMARY_MODES = frozenset({BondMode.ACTIVE_BACKUP, BondMode.BALANCE_TLB, BondMode.BALANCE_ALB})


class BondSpec(Placed, frozen=True, kw_only=True):
    """Several network interfaces that act as one (the kernel's bonding driver). `metadata.name` is the link's name."""

    members: Annotated[
        tuple[IfName, ...],
        doc(
            "NICs that the bond consists of, in any order. A NIC is a member of one bond at most, and has no "
            "addresses of its own.",
            unordered=True,
            examples=[["eno1", "eno2"]],
        ),
    ] = ()
    mode: Annotated[
        BondMode,
        doc(
            "How frames are spread over the members. `802.3ad` needs LACP on the switch, `balance-rr`, "
            "`balance-xor` and `broadcast` need a static port group there; the others need nothing.",
            Effect.REBUILD,
        ),
    ] = BondMode.ACTIVE_BACKUP
    miimon: Annotated[
        int,
        doc(
            "Milliseconds between two looks at the carrier of the members; 0 turns it off.",
            ge=0,
            le=2**31 - 1,
        ),
    ] = 100
    primary: (
        Annotated[
            IfName,
            doc(
                "The member to use whenever its link is up. Only in modes active-backup, balance-tlb and balance-alb. "
                "Absent: none is preferred.",
                absent_is_none=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    mtu: (
        Annotated[
            int,
            doc(
                "Largest payload of a frame, in bytes; members follow the bond. Absent: left as it is.",
                ge=68,
                le=65535,
            ),
        ]
        | UnsetType
    ) = UNSET
    mac: (
        Annotated[
            Mac,
            doc("Ethernet address. Absent: at creation, the permanent address of the alphabetically first member."),
        ]
        | UnsetType
    ) = UNSET
