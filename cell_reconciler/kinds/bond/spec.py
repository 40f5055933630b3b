"""The fields of Bond: one table of everything that the bonding driver can be told.

Names, words and limits are those of the kernel's Documentation/networking/bonding. What each declaration says besides
was measured on Linux 6.1, every option in every mode, up and down, with and without members
(``tests/kernel/inside/test_bond_matrix.py`` does it again): in which ``modes`` the kernel takes the option, what
changing it takes (``Effect``), and the value that it has when nobody sets it (``absent``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from cell_reconciler.kinds.bond.modes import INT_MAX, LACP_MODES, PRIMARY_MODES, TLB_MODES, BondMode, option
from cell_reconciler.kinds.bond.monitoring import Monitored
from cell_reconciler.kinds.placement import IfName
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, doc
from cell_reconciler.model.quantities import Mac


class BondSpec(Monitored, frozen=True, kw_only=True):
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

    # Which member is used?
    primary: (
        Annotated[
            IfName,
            option(
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
            option(
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
            option(
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
            option(
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
            option(
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
            option(
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
            option(
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
            option("Spread by load, and not by hash.", "bond_tlb_dynamic_lb", True, Effect.DOWN, modes=TLB_MODES),
        ]
        | UnsetType
    ) = UNSET
    lp_interval: (
        Annotated[
            int,
            option(
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
            option("Take frames that come in by members that are not active.", "bond_all_slaves_active", False),
        ]
        | UnsetType
    ) = UNSET
    queue_id: (
        Annotated[
            dict[IfName, Annotated[int, doc("Number of the queue; 0 for none.", ge=0, le=16)]],
            option(
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
            option(
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
            option(
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
            option(
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
        Annotated[int, option("IGMP membership reports after a failover.", "bond_resend_igmp", 1, ge=0, le=255)]
        | UnsetType
    ) = UNSET

    # LACP
    lacp_rate: (
        Annotated[
            Literal["slow", "fast"],
            option(
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
            option(
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
            option(
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
            option(
                "The host's LACP system priority.", "bond_ad_actor_sys_prio", 65535, modes=LACP_MODES, ge=1, le=65535
            ),
        ]
        | UnsetType
    ) = UNSET
    ad_actor_system: (
        Annotated[
            Mac,
            option(
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
            option(
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
            option(
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
            option(
                "Send ARP and neighbour discovery by all members, for two switches that do not talk to each other.",
                "bond_broadcast_neigh",
                False,
                modes=LACP_MODES,
                since="6.17",
            ),
        ]
        | UnsetType
    ) = UNSET
