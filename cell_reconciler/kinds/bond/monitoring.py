"""The fields of Bond that say how the driver finds out whether a member works."""

from __future__ import annotations

from typing import Annotated, Literal

from cell_reconciler.kinds.bond.modes import ARP_MODES, INT_MAX, option
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.model.fields import UNSET, UnsetType, doc


class Monitored(Layer3, frozen=True, kw_only=True):
    """By its carrier (`miimon`), or by whether targets answer through it (`arpInterval`); never both."""

    miimon: (
        Annotated[
            int,
            option(
                "Milliseconds between two looks at the carrier of the members; 0 turns it off. Absent: 100, or 0 with "
                "`arpInterval`.",
                "bond_miimon",
                UNSET,
                ge=0,
                le=INT_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    updelay: (
        Annotated[
            int,
            option(
                "Milliseconds for which a carrier has to be there before the member is used; a multiple of `miimon`.",
                "bond_updelay",
                0,
                ge=0,
                le=INT_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    downdelay: (
        Annotated[
            int,
            option(
                "Milliseconds for which a carrier has to be gone before the member is not used; a multiple of "
                "`miimon`.",
                "bond_downdelay",
                0,
                ge=0,
                le=INT_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    use_carrier: (
        Annotated[
            bool,
            option("Ask the driver's carrier, and not the MII registers by ioctl.", "bond_use_carrier", True),
        ]
        | UnsetType
    ) = UNSET
    arp_interval: (
        Annotated[
            int,
            option(
                "Milliseconds between two probes of `arpIpTarget` or `nsIp6Target`; 0 turns them off. Instead of "
                "`miimon`.",
                "bond_arp_interval",
                0,
                modes=ARP_MODES,
                ge=0,
                le=INT_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    arp_ip_target: (
        Annotated[
            tuple[Annotated[str, doc("An IPv4 address.", pattern=r"^[0-9.]{7,15}$")], ...],
            option(
                "IPv4 addresses that are asked for by ARP, in any order.",
                "bond_arp_ip_target",
                (),
                unordered=True,
                max_length=16,
                examples=[["10.0.0.1"]],
            ),
        ]
        | UnsetType
    ) = UNSET
    ns_ip6_target: (
        Annotated[
            tuple[Annotated[str, doc("An IPv6 address.", pattern=r"^[0-9A-Fa-f:.]{2,45}$")], ...],
            option(
                "IPv6 addresses that are asked for by neighbour solicitation, in any order.",
                "bond_ns_ip6_target",
                (),
                since="5.18",
                unordered=True,
                max_length=16,
                examples=[["fd00::1"]],
            ),
        ]
        | UnsetType
    ) = UNSET
    arp_validate: (
        Annotated[
            Literal["none", "active", "backup", "all", "filter", "filter_active", "filter_backup"],
            option(
                "Of which members nothing but the answers of the targets counts (`filter…`: nothing but ARP).",
                "bond_arp_validate",
                "none",
                modes=ARP_MODES,
            ),
        ]
        | UnsetType
    ) = UNSET
    arp_all_targets: (
        Annotated[
            Literal["any", "all"],
            option("How many of the targets have to answer.", "bond_arp_all_targets", "any"),
        ]
        | UnsetType
    ) = UNSET
    arp_missed_max: (
        Annotated[
            int,
            option(
                "Missed answers after which a member is not used.",
                "bond_missed_max",
                2,
                modes=ARP_MODES,
                since="5.17",
                ge=1,
                le=255,
            ),
        ]
        | UnsetType
    ) = UNSET
    min_links: (
        Annotated[
            int,
            option("Members that must work for the bond to have a carrier.", "bond_min_links", 0, ge=0, le=INT_MAX),
        ]
        | UnsetType
    ) = UNSET
