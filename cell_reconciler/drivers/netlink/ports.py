"""Ports of bridges: their options, and the VLANs that they carry on a bridge that filters.

Taken apart and put together by hand: a host has a thousand ports with forty attributes each, of which a dozen are
looked at. VLANs are read as RTM_GETVLAN tells them, which is one form for a single port and for all, and leaves out
what NIC drivers answer to a dump of AF_BRIDGE; they are written by RTM_SETLINK and RTM_DELLINK of AF_BRIDGE, the only
way there is. Numbers are those of the kernel's if_link.h and if_bridge.h.
"""

from __future__ import annotations

import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from cell_reconciler.drivers.netlink.raw import (
    ATTR,
    IFINFO,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINKINFO,
    attribute,
)
from cell_reconciler.drivers.netlink.transport import HEADER, attributes
from cell_reconciler.model import vlans
from cell_reconciler.model.live import VlanRange

RTM_GETVLAN = 114
AF_BRIDGE = 7
# IFLA_BRPORT_*: name → number and form. "mode" is hairpin, "guard" is against BPDUs, "protect" is against a new root.
OPTIONS: dict[str, tuple[int, struct.Struct]] = {
    "brport_state": (1, struct.Struct("=B")),
    "brport_priority": (2, struct.Struct("=H")),
    "brport_cost": (3, struct.Struct("=I")),
    "brport_mode": (4, struct.Struct("=B")),
    "brport_guard": (5, struct.Struct("=B")),
    "brport_protect": (6, struct.Struct("=B")),
    "brport_learning": (8, struct.Struct("=B")),
    "brport_unicast_flood": (9, struct.Struct("=B")),
    "brport_mcast_flood": (27, struct.Struct("=B")),
    "brport_bcast_flood": (30, struct.Struct("=B")),
    "brport_isolated": (33, struct.Struct("=B")),
}
_BY_NUMBER = {number: (name, form) for name, (number, form) in OPTIONS.items()}
_NESTED = 0x8000
_VLAN_MESSAGE = struct.Struct("=BBHI")  # struct br_vlan_msg: family, two reserved, ifindex
_VLAN = struct.Struct("=HH")  # struct bridge_vlan_info: flags, id
_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 0x2, 0x4, 0x8, 0x10  # BRIDGE_VLAN_INFO_*
_ENTRY, _ENTRY_INFO, _ENTRY_RANGE = 1, 1, 2  # BRIDGE_VLANDB_ENTRY*
_IFLA_AF_SPEC, _IFLA_BRIDGE_FLAGS, _IFLA_BRIDGE_VLAN_INFO = 26, 0, 2
_SELF = 2  # BRIDGE_FLAGS_SELF: the bridge itself and not the port of one


def read(data: bytes) -> dict[str, int]:
    """The options in IFLA_INFO_SLAVE_DATA of a port, by their names; those that the kernel does not tell are absent."""
    found: dict[str, int] = {}
    offset, end = 0, len(data) - ATTR.size
    while offset <= end and len(found) < len(_BY_NUMBER):
        length, number = ATTR.unpack_from(data, offset)
        if length < ATTR.size:
            break
        known = _BY_NUMBER.get(number)
        if known is not None:
            found[known[0]] = known[1].unpack_from(data, offset + ATTR.size)[0]
        offset += (length + 3) & ~3
    return found


def request(index: int, options: Mapping[str, int]) -> bytes:
    """The body of an RTM_NEWLINK that sets options. Raises KeyError for a name that is not in ``OPTIONS``."""
    data = b""
    for name, value in options.items():
        number, form = OPTIONS[name] if name in OPTIONS else _unknown(name)
        data += attribute(number, form.pack(value))
    info = attribute(IFLA_INFO_SLAVE_KIND, b"bridge\0") + attribute(_NESTED | IFLA_INFO_SLAVE_DATA, data)
    return IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attribute(_NESTED | IFLA_LINKINFO, info)


def vlan_dump(index: int) -> bytes:
    """The body of an RTM_GETVLAN dump: of one link, or of all bridges and their ports when ``index`` is 0."""
    return _VLAN_MESSAGE.pack(AF_BRIDGE, 0, 0, index)


def read_vlans(messages: Iterable[bytes]) -> dict[int, tuple[VlanRange, ...]]:
    """VLANs by the index of their link, in canonical form."""
    found: dict[int, list[VlanRange]] = defaultdict(list)
    for message in messages:
        *_, index = _VLAN_MESSAGE.unpack_from(message, HEADER.size)
        entries = attributes(message, HEADER.size + _VLAN_MESSAGE.size)
        found[index] += [_entry(dict(attributes(value, 0))) for kind, value in entries if kind == _ENTRY]
    return {index: vlans.canonical(ranges) for index, ranges in found.items()}


def vlan_request(index: int, ranges: Iterable[VlanRange], *, self_: bool = False) -> bytes:
    """The body of an RTM_SETLINK (add, or change the flags of) or RTM_DELLINK (remove) of AF_BRIDGE.

    ``self_``: the link is the bridge itself, and the VLANs are those in which the host takes part.
    """
    spec = attribute(_IFLA_BRIDGE_FLAGS, struct.pack("=H", _SELF)) if self_ else b""
    for item in ranges:
        flags = (_PVID if item.pvid else 0) | (_UNTAGGED if item.untagged else 0)
        if item.first == item.last:
            spec += attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN.pack(flags, item.first))
        else:
            spec += attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN.pack(flags | _RANGE_BEGIN, item.first))
            spec += attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN.pack(flags | _RANGE_END, item.last))
    return IFINFO.pack(AF_BRIDGE, 0, index, 0, 0) + attribute(_NESTED | _IFLA_AF_SPEC, spec)


def vlan_changes(
    have: Iterable[VlanRange], want: Iterable[VlanRange]
) -> tuple[tuple[VlanRange, ...], tuple[VlanRange, ...]]:
    """What has to be set, and what has to be removed after it: a port that moves is never without its new VLANs."""
    old, new = vlans.each(have), vlans.each(want)
    put = vlans.merged({vid: item for vid, item in new.items() if old.get(vid) != item})
    return put, vlans.merged({vid: VlanRange(first=vid, last=vid) for vid in old.keys() - new.keys()})


def _entry(parts: Mapping[int, bytes]) -> VlanRange:
    flags, first = _VLAN.unpack(parts[_ENTRY_INFO])
    last = struct.unpack("=H", parts[_ENTRY_RANGE])[0] if _ENTRY_RANGE in parts else first
    return VlanRange(first=first, last=last, pvid=bool(flags & _PVID), untagged=bool(flags & _UNTAGGED))


def _unknown(name: str) -> Any:
    raise KeyError(f"{name} is not an option of a bridge port that is known")
