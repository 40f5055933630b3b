"""Who set a route, by the number that the kernel keeps of it (RTPROT_* of linux/rtnetlink.h, iproute2's rt_protos)."""

from __future__ import annotations

from cell_reconciler.model.mark import RTPROT

_NAMES = {
    2: "kernel",
    3: "boot",
    4: "static",
    8: "gated",
    9: "ra",
    10: "mrt",
    11: "zebra",
    12: "bird",
    13: "dnrouted",
    14: "xorp",
    15: "ntk",
    16: "dhcp",
    18: "keepalived",
    42: "babel",
    84: "ovn",
    99: "openr",
    186: "bgp",
    187: "isis",
    188: "ospf",
    189: "rip",
    192: "eigrp",
    RTPROT: "cell",
}


def protocol_name(number: int) -> str:
    """``bird``, as ``ip route`` shows it; the number where it has no name."""
    return _NAMES.get(number, str(number))
