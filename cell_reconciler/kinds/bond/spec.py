"""The fields of Bond: one table of everything that the bonding driver can be told.

Names, words and limits are those of the kernel's Documentation/networking/bonding. What each declaration says besides
was measured on Linux 6.1, every option in every mode, up and down, with and without members
(``tests/kernel/inside/test_bond_matrix.py`` does it again): in which ``modes`` the kernel takes the option, what
changing it takes (``Effect``), and the value that it has when nobody sets it (``absent``).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.kinds.placement import IfName
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, doc
from cell_reconciler.model.quantities import Mac

INT_MAX = 2**31 - 1


class BondMode(StrEnum):
    """The seven modes of the kernel's bonding driver, by its own names; the order is that of its numbers."""

    BALANCE_RR = "balance-rr"
    ACTIVE_BACKUP = "active-backup"
    BALANCE_XOR = "balance-xor"
    BROADCAST = "broadcast"
    LACP = "802.3ad"
    BALANCE_TLB = "balance-tlb"
    BALANCE_ALB = "balance-alb"


ALL_MODES = frozenset(BondMode)
LACP_MODES = frozenset({BondMode.LACP})
# One member is active at a time (bond_mode_uses_primary of the kernel's bonding.h).
PRIMARY_MODES = frozenset({BondMode.ACTIVE_BACKUP, BondMode.BALANCE_TLB, BondMode.BALANCE_ALB})
TLB_MODES = frozenset({BondMode.BALANCE_TLB, BondMode.BALANCE_ALB})
# These know by miimon alone whether a member works (bond_mode_uses_arp), so the kernel turns it on for them.
MIIMON_MODES = LACP_MODES | TLB_MODES
ARP_MODES = ALL_MODES - MIIMON_MODES


def _named(modes: Iterable[BondMode]) -> str:
    *most, last = [mode.value for mode in BondMode if mode in frozenset(modes)]
    return f"{', '.join(most)} and {last}" if most else last


def _option(
    text: str,
    netlink: str,
    absent: Any,
    change: Effect = Effect.LIVE,
    *,
    modes: frozenset[BondMode] = ALL_MODES,
    since: str = "",
    **more: Any,
) -> Any:
    """Declare an option of the bonding driver.

    ``netlink`` is its name in messages, ``absent`` the value of one that nobody sets (UNSET: it has none), ``since``
    the kernel that brought an option which supported kernels may lack.
    """
    if modes != ALL_MODES:
        text += f" Only in mode{'s' if len(modes) > 1 else ''} {_named(modes)}."
    if since:
        text += f" Kernels from {since} on."
    if absent is not UNSET and absent not in ((), {}):
        text += f" Absent: `{str(absent).lower() if isinstance(absent, bool) else absent}`."
    return doc(text, change, netlink=netlink, absent=absent, modes=modes, since=since, **more)


class BondSpec(Layer3, frozen=True, kw_only=True):
    """Several network interfaces that act as one (the kernel's bonding driver). `metadata.name` is the link's name.

    Options that the document leaves out have the kernel's defaults; of an adopted bond they are left as they are.
    """

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
            doc(
                "Ethernet address. Absent: at creation, the permanent address of the alphabetically first member, "
                "which the bond keeps when that member leaves."
            ),
        ]
        | UnsetType
    ) = UNSET

    # Is a member alive?
    miimon: (
        Annotated[
            int,
            _option(
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
            _option(
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
            _option(
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
            _option("Ask the driver's carrier, and not the MII registers by ioctl.", "bond_use_carrier", True),
        ]
        | UnsetType
    ) = UNSET
    arp_interval: (
        Annotated[
            int,
            _option(
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
            _option(
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
            _option(
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
            _option(
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
            _option("How many of the targets have to answer.", "bond_arp_all_targets", "any"),
        ]
        | UnsetType
    ) = UNSET
    arp_missed_max: (
        Annotated[
            int,
            _option(
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
            _option("Members that must work for the bond to have a carrier.", "bond_min_links", 0, ge=0, le=INT_MAX),
        ]
        | UnsetType
    ) = UNSET

    # Which member is used?
    primary: (
        Annotated[
            IfName,
            _option(
                "The member to use whenever its link is up. Absent: none is preferred.",
                "bond_primary",
                UNSET,
                modes=PRIMARY_MODES,
                absent_is_none=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    primary_reselect: (
        Annotated[
            Literal["always", "better", "failure"],
            _option(
                "When a returning `primary` takes over: at once, if it is faster, or only when the active one fails.",
                "bond_primary_reselect",
                "always",
            ),
        ]
        | UnsetType
    ) = UNSET
    active_slave: (
        Annotated[
            IfName,
            _option(
                "The member to be active now. While its link is down another one is, which is no difference. Absent: "
                "the bond chooses.",
                "bond_active_slave",
                UNSET,
                modes=PRIMARY_MODES,
            ),
        ]
        | UnsetType
    ) = UNSET
    prio: (
        Annotated[
            dict[IfName, Annotated[int, doc("The higher one is used first.", ge=-(2**31), le=INT_MAX)]],
            _option(
                "Priorities of members by name; the others have 0.",
                "bond_slave_prio",
                {},
                modes=PRIMARY_MODES,
                since="6.0",
                examples=[{"eno1": 10}],
            ),
        ]
        | UnsetType
    ) = UNSET
    fail_over_mac: (
        Annotated[
            Literal["none", "active", "follow"],
            _option(
                "What happens to Ethernet addresses when another member becomes active: `none`: all members have the "
                "bond's; `active`: the bond takes the member's; `follow`: the active member takes the bond's. Counts "
                "in mode active-backup.",
                "bond_fail_over_mac",
                "none",
                Effect.EMPTY,
            ),
        ]
        | UnsetType
    ) = UNSET

    # How are frames spread?
    xmit_hash_policy: (
        Annotated[
            Literal["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"],
            _option(
                "What decides by which member a frame leaves, in modes balance-xor, 802.3ad and balance-tlb.",
                "bond_xmit_hash_policy",
                "layer2",
            ),
        ]
        | UnsetType
    ) = UNSET
    packets_per_slave: (
        Annotated[
            int,
            _option(
                "Frames by one member before it is the next one's turn; 0: at random.",
                "bond_packets_per_slave",
                1,
                modes=frozenset({BondMode.BALANCE_RR}),
                ge=0,
                le=65535,
            ),
        ]
        | UnsetType
    ) = UNSET
    tlb_dynamic_lb: (
        Annotated[
            bool,
            _option("Spread by load, and not by hash.", "bond_tlb_dynamic_lb", True, Effect.DOWN, modes=TLB_MODES),
        ]
        | UnsetType
    ) = UNSET
    lp_interval: (
        Annotated[
            int,
            _option(
                "Seconds between two frames by which the switch learns the members' addresses, in modes balance-tlb "
                "and balance-alb.",
                "bond_lp_interval",
                1,
                ge=1,
                le=INT_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    all_slaves_active: (
        Annotated[
            bool,
            _option("Take frames that come in by members that are not active.", "bond_all_slaves_active", False),
        ]
        | UnsetType
    ) = UNSET
    queue_id: (
        Annotated[
            dict[IfName, Annotated[int, doc("Number of the queue; 0 for none.", ge=0, le=16)]],
            _option(
                "Transmit queues of members by name, for tc filters that choose the member.",
                "bond_slave_queue_id",
                {},
                examples=[{"eno1": 2}],
            ),
        ]
        | UnsetType
    ) = UNSET

    # What is said to neighbours and switches?
    num_grat_arp: (
        Annotated[
            int,
            _option(
                "Gratuitous ARPs and neighbour advertisements after a failover.",
                "bond_num_peer_notif",
                1,
                ge=0,
                le=255,
            ),
        ]
        | UnsetType
    ) = UNSET
    num_unsol_na: (
        Annotated[
            int,
            _option(
                "The same under its other name: the kernel has one number for both.",
                "bond_num_peer_notif",
                UNSET,
                ge=0,
                le=255,
            ),
        ]
        | UnsetType
    ) = UNSET
    peer_notif_delay: (
        Annotated[
            int,
            _option(
                "Milliseconds between two of them; a multiple of `miimon`.",
                "bond_peer_notif_delay",
                0,
                since="5.3",
                ge=0,
                le=300_000,
            ),
        ]
        | UnsetType
    ) = UNSET
    resend_igmp: (
        Annotated[int, _option("IGMP membership reports after a failover.", "bond_resend_igmp", 1, ge=0, le=255)]
        | UnsetType
    ) = UNSET

    # LACP
    lacp_rate: (
        Annotated[
            Literal["slow", "fast"],
            _option(
                "How often the switch is asked to send: every 30 s or every second.",
                "bond_ad_lacp_rate",
                "slow",
                Effect.DOWN,
                modes=LACP_MODES,
            ),
        ]
        | UnsetType
    ) = UNSET
    lacp_active: (
        Annotated[
            bool,
            _option(
                "Speak LACP first; `false`: only answer.",
                "bond_ad_lacp_active",
                True,
                Effect.DOWN,
                modes=LACP_MODES,
                since="5.15",
            ),
        ]
        | UnsetType
    ) = UNSET
    ad_select: (
        Annotated[
            Literal["stable", "bandwidth", "count"],
            _option(
                "When another aggregator is chosen, in mode 802.3ad: only when the active one has no member left, or "
                "for more bandwidth, or for more members.",
                "bond_ad_select",
                "stable",
                Effect.DOWN,
            ),
        ]
        | UnsetType
    ) = UNSET
    ad_actor_sys_prio: (
        Annotated[
            int,
            _option(
                "The host's LACP system priority.", "bond_ad_actor_sys_prio", 65535, modes=LACP_MODES, ge=1, le=65535
            ),
        ]
        | UnsetType
    ) = UNSET
    ad_actor_system: (
        Annotated[
            Mac,
            _option(
                "The address by which the host is known in LACP; `00:00:00:00:00:00`: that of the bond.",
                "bond_ad_actor_system",
                Mac("00:00:00:00:00:00"),
                modes=LACP_MODES,
            ),
        ]
        | UnsetType
    ) = UNSET
    ad_user_port_key: (
        Annotated[
            int,
            _option(
                "The upper ten bits of the members' LACP port key.",
                "bond_ad_user_port_key",
                0,
                Effect.DOWN,
                modes=LACP_MODES,
                ge=0,
                le=1023,
            ),
        ]
        | UnsetType
    ) = UNSET
    coupled_control: (
        Annotated[
            bool,
            _option(
                "Start to collect and to distribute frames in one step of LACP.",
                "bond_coupled_control",
                True,
                Effect.DOWN,
                modes=LACP_MODES,
                since="6.9",
            ),
        ]
        | UnsetType
    ) = UNSET
    broadcast_neighbor: (
        Annotated[
            bool,
            _option(
                "Send ARP and neighbour discovery by all members, for two switches that do not talk to each other.",
                "bond_broadcast_neigh",
                False,
                modes=LACP_MODES,
                since="6.17",
            ),
        ]
        | UnsetType
    ) = UNSET
