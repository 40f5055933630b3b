"""Routes, kept as the kernel told them and given back as they were (what ``ip route save`` and ``restore`` do).

The kernel forgets the routes through a link when its last address goes or when it goes down; whoever undoes such a
change has to bring them back. Only what people and DHCP clients set is kept: the kernel makes its own routes with the
addresses, and routing daemons make theirs anew. Numbers are those of the kernel's rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import msgspec

from cell_reconciler.drivers.netlink.transport import HEADER, attributes

RTM_NEWROUTE, RTM_GETROUTE = 24, 26
_RTMSG = struct.Struct(
    "=BBBBBBBBI"
)  # struct rtmsg: family, dst and src length, tos, table, protocol, scope, type, flags
_ATTR = struct.Struct("=HH")
_KEPT = frozenset({3, 4, 16})  # RTPROT_BOOT, RTPROT_STATIC, RTPROT_DHCP
_OIF, _GATEWAY, _CACHEINFO, _VIA = 4, 5, 12, 18
_ONLINK = 4  # RTNH_F_ONLINK: the only flag that is set by somebody; the others tell a state


class Route(msgspec.Struct, frozen=True):
    """``message``: rtmsg and its attributes but for the link, whose number may be another one later: ``link``."""

    link: str  # empty: several (multipath) or none (blackhole)
    message: bytes


def request(family: int) -> bytes:
    """The body of an RTM_GETROUTE dump."""
    return _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)


FAMILIES = (socket.AF_INET, socket.AF_INET6)


def read(message: bytes, name_of: Callable[[int], str | None]) -> Route | None:
    """Take one RTM_NEWROUTE apart; None for a route that is made by itself."""
    *head, flags = _RTMSG.unpack_from(message, HEADER.size)
    if head[5] not in _KEPT:
        return None
    link, body = "", _RTMSG.pack(*head, flags & _ONLINK)
    for kind, value in attributes(message, HEADER.size + _RTMSG.size):
        if kind == _OIF:
            link = name_of(struct.unpack("=I", value)[0]) or ""
        elif kind != _CACHEINFO:  # counters and ages
            body += _attribute(kind, value)
    return Route(link, body)


def body(route: Route, index: int) -> bytes:
    """The body of the RTM_NEWROUTE that makes it again; ``index`` of its link, 0 for none."""
    return route.message + (_attribute(_OIF, struct.pack("=I", index)) if index else b"")


def has_gateway(route: Route) -> bool:
    """Does it need another route to reach its gateway?"""
    return any(kind in (_GATEWAY, _VIA) for kind, _ in attributes(route.message, _RTMSG.size))


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTR.pack(_ATTR.size + len(value), kind) + value + bytes(-len(value) % 4)
