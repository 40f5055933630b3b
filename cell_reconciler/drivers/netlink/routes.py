"""Routes: what a message of the kernel says, and the messages that make, move and delete them.

A host may carry the routes of a whole routing daemon, so a dump names the protocols that are looked for, and the kernel
leaves the rest out (strict checking of dump requests). Numbers are those of the kernel's rtnetlink.h.

A ``SavedRoute`` is kept as the kernel told it and given back as it was (what ``ip route save`` and ``restore`` do):
the kernel forgets the routes through a link when its last address goes or when it goes down, and whoever undoes such a
change has to bring back also those that we have no words for.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator

import msgspec

from cell_reconciler.drivers.netlink.raw import attribute, u32, u32_attribute
from cell_reconciler.drivers.netlink.transport import HEADER, attributes
from cell_reconciler.model.live import Route
from cell_reconciler.model.mark import RTPROT

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
# struct rtmsg: family, dst and src length, tos, table, protocol, scope, type, flags
RTMSG = struct.Struct("=BBBBBBBBI")
_NEXTHOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, index of the link
KERNEL, REDIRECT, BOOT, STATIC, DHCP = 2, 1, 3, 4, 16  # RTPROT_*
KEPT = (BOOT, STATIC, DHCP, RTPROT)  # set by somebody who does not set them again by himself, or by us
FAMILIES = (socket.AF_INET, socket.AF_INET6)
UNICAST = 1
_TYPES = {1: "unicast", 2: "local", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw", 10: "nat"}
_BY_ITSELF = frozenset({2, 3, 4, 5})  # local, broadcast, anycast, multicast: made by the kernel with the addresses
_UNIVERSE, _ON_LINK, _NOWHERE = 0, 253, 255  # RT_SCOPE_*
_DST, _SRC, _IIF, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _MULTIPATH = 1, 2, 3, 4, 5, 6, 7, 8, 9
_FLOW, _CACHEINFO, _TABLE, _VIA, _PREF, _EXPIRES, _NH_ID = 11, 12, 15, 18, 20, 23, 30
_RTAX_LOCK, _RTAX_MTU = 1, 2
_LOOKUP_TABLE, _FIB_MATCH = 0x1000, 0x2000  # RTM_F_*: of an answer not the decision, but the entry that made it
_PLAIN = frozenset({_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _CACHEINFO, _TABLE, _PREF})
_SAID = {_MULTIPATH: "several next hops", _NH_ID: "next hop object", _VIA: "gateway of another family", _FLOW: "realm"}
_STATIC_HOP = 4  # RTNH_F_ONLINK: the only flag that is set by somebody; the others tell a state


class SavedRoute(msgspec.Struct, frozen=True):
    """``message``: rtmsg and its attributes but for the link, whose number may be another one later: ``link``."""

    link: str  # empty: several (multipath) or none (blackhole)
    message: bytes


def request(family: int, protocol: int = 0, index: int = 0) -> bytes:
    """The body of an RTM_GETROUTE dump, of one protocol and through one link where given."""
    wanted = RTMSG.pack(family, 0, 0, 0, 0, protocol, 0, 0, 0)
    return wanted + (u32_attribute(_OIF, index) if index else b"")


def lookup(to: str) -> bytes:
    """The body of the RTM_GETROUTE that tells the entry which counts for the first address of a network."""
    network = ipaddress.ip_network(to)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    flags = _FIB_MATCH | (_LOOKUP_TABLE if network.version == 4 else 0)  # IPv6 tells the table anyway
    head = RTMSG.pack(family, network.max_prefixlen, 0, 0, 0, 0, 0, 0, flags)
    return head + attribute(_DST, network.network_address.packed)


def head(message: bytes) -> tuple[int, int, int, int]:
    """Family, protocol, type and flags of an RTM_*ROUTE."""
    family, _, _, _, _, protocol, _, kind, flags = RTMSG.unpack_from(message, HEADER.size)
    return family, protocol, kind, flags


def by_hand(message: bytes, family: int) -> bool:
    """Was it set by somebody? (A kernel without IPv6 answers with IPv4 when IPv6 is asked for.)"""
    told, protocol, kind, _ = head(message)
    return told == family and protocol not in (KERNEL, REDIRECT) and kind not in _BY_ITSELF


# what it says


def read(message: bytes, name_of: Callable[[int], str | None]) -> Route:
    """One RTM_NEWROUTE in our words; what they cannot say is named in ``detail``."""
    family, length, source_length, tos, table, protocol, _, kind, flags = RTMSG.unpack_from(message, HEADER.size)
    found = dict(attributes(message, HEADER.size + RTMSG.size))
    mtu, odd = _mtu(found.get(_METRICS, b""))
    odd += [_SAID.get(a, f"attribute {a}") for a in found.keys() - _PLAIN] + ([f"tos {tos}"] if tos else [])
    odd += ["source network"] if source_length and _SRC not in found else []
    if kind == UNICAST and _OIF not in found and _MULTIPATH not in found:
        odd.append("no link")
    packed = found.get(_DST, bytes(4 if family == socket.AF_INET else 16))
    return Route(
        to=f"{_address(packed)}/{length}",
        link=name_of(u32(found[_OIF])) if _OIF in found and kind == UNICAST else None,
        via=_address(found[_GATEWAY]) if _GATEWAY in found else None,
        source=_address(found[_PREFSRC]) if _PREFSRC in found else None,
        table=u32(found[_TABLE]) if _TABLE in found else table,
        metric=u32(found[_PRIORITY]) if _PRIORITY in found else 0,
        mtu=mtu,
        onlink=bool(flags & _STATIC_HOP),
        protocol=protocol,
        type=_TYPES.get(kind, str(kind)),
        detail=", ".join(sorted(odd)),
    )


def _mtu(metrics: bytes) -> tuple[int | None, list[str]]:
    found = {kind: u32(value) for kind, value in attributes(metrics, 0)}
    mtu = found.pop(_RTAX_MTU, None)
    return mtu, ["locked metrics" if _RTAX_LOCK in found else "metrics"] if found else []


# what makes and unmakes it


def body(route: Route, index: int, *, deleting: bool = False) -> bytes:
    """The body of the RTM_NEWROUTE or RTM_DELROUTE of a route through the link of this index.

    The scope is that of ip(8): without a gateway the destination is on the link.
    """
    network = ipaddress.ip_network(route.to)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    scope = _UNIVERSE if route.via or network.version == 6 else _ON_LINK
    flags = _STATIC_HOP if route.onlink else 0
    table = route.table if route.table < 256 else 0
    scope = _NOWHERE if deleting else scope
    return b"".join(
        (
            RTMSG.pack(family, network.prefixlen, 0, 0, table, route.protocol, scope, UNICAST, flags),
            attribute(_DST, network.network_address.packed),
            u32_attribute(_OIF, index),
            u32_attribute(_TABLE, route.table),
            u32_attribute(_PRIORITY, route.metric),
            attribute(_GATEWAY, ipaddress.ip_address(route.via).packed) if route.via else b"",
            attribute(_PREFSRC, ipaddress.ip_address(route.source).packed) if route.source else b"",
            attribute(_METRICS, u32_attribute(_RTAX_MTU, route.mtu)) if route.mtu and not deleting else b"",
        )
    )


# as the kernel told it


def save(message: bytes, name_of: Callable[[int], str | None]) -> SavedRoute:
    """Take one RTM_NEWROUTE apart as far as it has to be to bring it back."""
    link, kept = "", b""
    *fields, flags = RTMSG.unpack_from(message, HEADER.size)
    for kind, value in attributes(message, HEADER.size + RTMSG.size):
        if kind == _OIF:
            link = name_of(u32(value)) or ""
        elif kind == _CACHEINFO:
            kept += _time_left(fields[0], value)
        else:
            kept += attribute(kind, _hops(value) if kind == _MULTIPATH else value)
    return SavedRoute(link, RTMSG.pack(*fields, flags & _STATIC_HOP) + kept)


def saved_body(route: SavedRoute, index: int) -> bytes:
    """The body of the RTM_NEWROUTE that makes it again; ``index`` of its link, 0 for none."""
    return route.message + (u32_attribute(_OIF, index) if index else b"")


def has_gateway(route: SavedRoute) -> bool:
    """Does it need another route to reach its gateway?"""
    return any(kind in (_GATEWAY, _VIA) for kind, _ in attributes(route.message, RTMSG.size))


def family_of(route: SavedRoute) -> int:
    """AF_INET or AF_INET6."""
    return route.message[0]


def moved(message: bytes, old: int, new: int) -> tuple[bytes, bytes, bool]:
    """Bodies that make the route of an RTM_NEWROUTE through another link, and delete it; has it a gateway?

    A time that it still had to live goes on. A next hop that is an object of its own is told in full beside it.
    """
    *fields, flags = RTMSG.unpack_from(message, HEADER.size)
    making = deleting = RTMSG.pack(*fields, flags & _STATIC_HOP)
    found = dict(attributes(message, HEADER.size + RTMSG.size))
    for kind, value in found.items():
        if kind == _CACHEINFO:
            making += _time_left(fields[0], value)
        elif kind == _OIF:
            making += u32_attribute(_OIF, new)
            deleting += attribute(kind, value)
        elif kind == _MULTIPATH:
            making += attribute(kind, _hops(value, old, new))
            deleting += attribute(kind, _hops(value))
        elif not (kind == _NH_ID and _OIF in found):
            making += attribute(kind, value)
            deleting += attribute(kind, value)
    return making, deleting, bool(found.keys() & {_GATEWAY, _VIA, _MULTIPATH})


def _time_left(family: int, value: bytes) -> bytes:
    """Of struct rta_cacheinfo only that: a route that a router told (IPv6) ends by itself. The rest is counters."""
    (expires,) = struct.unpack_from("=i", value, 8)  # in 1/100 s
    return u32_attribute(_EXPIRES, expires // 100) if expires > 0 and family == socket.AF_INET6 else b""


def _hops(value: bytes, old: int = 0, new: int = 0) -> bytes:
    """Next hops without the flags that tell a state (the kernel takes none of those); ``new`` in place of ``old``."""
    changed, offset = bytearray(value), 0
    while offset + _NEXTHOP.size <= len(value):
        length, flags, hops, index = _NEXTHOP.unpack_from(value, offset)
        if length < _NEXTHOP.size:
            break
        _NEXTHOP.pack_into(changed, offset, length, flags & _STATIC_HOP, hops, new if index == old else index)
        offset += (length + 3) & ~3
    return bytes(changed)


def through(message: bytes) -> Iterator[int]:
    """Indexes of the links that the next hops of an RTM_*ROUTE are on."""
    for kind, value in attributes(message, HEADER.size + RTMSG.size):
        if kind == _OIF:
            yield u32(value)
        elif kind == _MULTIPATH:
            offset = 0
            while offset + _NEXTHOP.size <= len(value):
                length, _, _, index = _NEXTHOP.unpack_from(value, offset)
                yield index
                offset += max((length + 3) & ~3, _NEXTHOP.size)


def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))
