"""The layer-3 fields that every kind of link has: addresses, routes, policy rules, IPv6. Words are those of ip(8)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from cell_reconciler.kinds.placement import IfName, Placed
from cell_reconciler.model.fields import UNSET, Spec, UnsetType, doc

_ADDRESS = r"^[0-9A-Fa-f:.]+$"
_NETWORK = r"^([0-9A-Fa-f:.]+(/[0-9]{1,3})?|default)$"

Cidr = Annotated[
    str,
    doc(
        "An IPv4 or IPv6 address with its prefix length.",
        pattern=r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$",
        max_length=49,
    ),
]
_Table = Annotated[int, doc("Number of the routing table; 254 is the main one.", ge=1, le=2**32 - 1)]
_Address = Annotated[str, doc("An IPv4 or IPv6 address.", pattern=_ADDRESS, max_length=45)]


class _Sorted(Spec, frozen=True, kw_only=True):
    """What stands in a list whose order says nothing; fields that are not given have none to compare."""

    def __lt__(self, other: _Sorted) -> bool:
        return repr(self) < repr(other)


class StaticRoute(_Sorted, frozen=True, kw_only=True):
    """A static route through this link. Table, destination and metric are its identity, as for the kernel."""

    to: Annotated[
        str,
        doc(
            "Destination network, or `default` (of the family of `via`; IPv4 without one).",
            pattern=_NETWORK,
            max_length=49,
            examples=["10.30.0.0/16", "default"],
        ),
    ]
    via: Annotated[_Address, doc("The gateway. Absent: the destination is on this link.")] | UnsetType = UNSET
    source: Annotated[_Address, doc("The address of the host to send from.")] | UnsetType = UNSET
    table: Annotated[_Table, doc("Number of the routing table; 254 is the main one.")] = 254
    metric: Annotated[int, doc("The lower one wins; 0 stands for none given.", ge=0, le=2**32 - 1)] = 0
    mtu: Annotated[int, doc("MTU of the path, in bytes.", ge=68, le=65535)] | UnsetType = UNSET
    on_link: Annotated[bool, doc("The gateway is reached on this link though no address of it says so.")] = False


class PolicyRule(_Sorted, frozen=True, kw_only=True):
    """A policy rule: which routing table counts for which packets."""

    source: Annotated[str, doc("Packets from this network.", pattern=_NETWORK, max_length=49)] | UnsetType = (
        msgspec.field(default=UNSET, name="from")
    )
    to: Annotated[str, doc("Packets to this network.", pattern=_NETWORK, max_length=49)] | UnsetType = UNSET
    table: Annotated[_Table, doc("The routing table to look into.")]
    priority: Annotated[int, doc("The lower one is asked first.", ge=1, le=32765)]
    mark: Annotated[int, doc("Packets with this firewall mark.", ge=1, le=2**32 - 1)] | UnsetType = UNSET
    iif: Annotated[IfName, doc("Packets that came in by this interface.")] | UnsetType = UNSET


class Layer3(Placed, frozen=True, kw_only=True):
    """Base of the specs of links."""

    addresses: Annotated[
        tuple[Cidr, ...],
        doc(
            "Addresses of the host on this link, in any order. Addresses that others set are left alone.",
            unordered=True,
            examples=[["10.0.0.11/24", "fd00::11/64"]],
        ),
    ] = ()
    routes: Annotated[
        tuple[StaticRoute, ...],
        doc(
            "Static routes through this link, in any order. Routes that others set (DHCP, routing daemons, people) "
            "are left alone.",
            unordered=True,
            examples=[[{"to": "default", "via": "10.0.0.1"}]],
        ),
    ] = ()
    rules: Annotated[
        tuple[PolicyRule, ...],
        doc(
            "Policy rules that come and go with this link, in any order. Rules that others set are left alone.",
            unordered=True,
            examples=[[{"from": "10.0.0.11", "table": 100, "priority": 1000}]],
        ),
    ] = ()
    ipv6: (
        Annotated[
            bool,
            doc(
                "IPv6 on this link. `false`: the host has no IPv6 address here, not even a link-local one. Absent: on "
                "for links with addresses; off for bridges and VLANs that carry VMs only."
            ),
        ]
        | UnsetType
    ) = UNSET
