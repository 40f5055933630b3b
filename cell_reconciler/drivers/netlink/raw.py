"""RTM_NEWLINK and RTM_NEWADDR taken apart by hand: what every link has.

A host has a thousand taps, and pyroute2 needs a millisecond for each. So the few attributes that are read of all
links are read here; the options of bonds, VLANs and bridges by pyroute2's tables (``wire``).
Numbers are those of the kernel's if_link.h and if_addr.h.
"""

from __future__ import annotations

import ipaddress
import struct

import msgspec

from cell_reconciler.drivers.netlink.transport import HEADER, NLA_TYPE_MASK, attributes

IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
ATTR = struct.Struct("=HH")  # struct nlattr: length, type
IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
IFLA_IFALIAS, IFLA_GROUP, IFLA_LINK_NETNSID, IFLA_PERM_ADDRESS = 20, 27, 37, 54
IFLA_AF_SPEC = 26
IFLA_PARENT_DEV_NAME, IFLA_PARENT_DEV_BUS_NAME = 56, 57  # kernels from 5.14
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
_AF_INET6, _IFLA_INET6_CONF, _DEVCONF_DISABLE_IPV6 = 10, 2, 26  # the switches of /proc/sys/net/ipv6/conf, by place
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS = 29, 8  # counters are a third of a link, and nobody reads them
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_FLAGS, IFA_RT_PRIORITY, IFA_PROTO = 1, 2, 3, 8, 9, 11
IFA_F_TEMPORARY, IFA_F_NODAD, IFA_F_TENTATIVE, IFA_F_PERMANENT, IFA_F_STABLE_PRIVACY = 0x01, 0x02, 0x40, 0x80, 0x800
# What people give an address besides, in the words of ip-address(8); RT_SCOPE_* but for that of everybody.
_ADDRESS_FLAGS = {0x10: "home", 0x20: "preferred_lft 0", 0x100: "mngtmpaddr", 0x200: "noprefixroute", 0x400: "autojoin"}
_SCOPES = {200: "site", 253: "link", 254: "host"}


# What is read of a link: a message has twice as many, and a host has thousands of them.
_READ = frozenset(
    {IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_GROUP, IFLA_AF_SPEC}
    | {IFLA_LINK_NETNSID, IFLA_PERM_ADDRESS, IFLA_PARENT_DEV_NAME, IFLA_PARENT_DEV_BUS_NAME}
)


class RawLink(msgspec.Struct, frozen=True):
    """One RTM_NEWLINK: ``attrs`` and ``info`` (of IFLA_LINKINFO) by number."""

    index: int
    flags: int
    attrs: dict[int, bytes]
    info: dict[int, bytes]

    @property
    def name(self) -> str:
        return text(self.attrs[IFLA_IFNAME])

    def number(self, attr: int) -> int:
        """A 32-bit attribute; 0 when it is not there."""
        value = self.attrs.get(attr)
        return int(struct.unpack("=I", value)[0]) if value else 0

    def mac(self, attr: int) -> str | None:
        value = self.attrs.get(attr)
        return value.hex(":") if value else None

    @property
    def ipv6_disabled(self) -> bool | None:
        """None when the kernel has no IPv6, or none on this link (its MTU is below 1280)."""
        six = dict(attributes(self.attrs.get(IFLA_AF_SPEC, b""), 0)).get(_AF_INET6, b"")
        switches = dict(attributes(six, 0)).get(_IFLA_INET6_CONF, b"")
        place = 4 * _DEVCONF_DISABLE_IPV6
        return None if len(switches) < place + 4 else switches[place : place + 4] != bytes(4)


class RawAddress(msgspec.Struct, frozen=True):
    """One RTM_NEWADDR."""

    index: int
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    flags: int
    proto: int
    label: str = ""
    options: str = ""  # what else was given with it, as ip-address(8) spells it


def link_by_name(name: str = "") -> bytes:
    """The body of the RTM_GETLINK for one name, or of the dump of all links."""
    mask = attribute(IFLA_EXT_MASK, struct.pack("=I", RTEXT_FILTER_SKIP_STATS))
    return IFINFO.pack(0, 0, 0, 0, 0) + (attribute(IFLA_IFNAME, name.encode() + b"\0") if name else b"") + mask


def addresses_of(index: int, family: int = 0) -> bytes:
    """The body of the RTM_GETADDR dump of one link, or one family; 0 for all."""
    return IFADDR.pack(family, 0, 0, 0, index)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return ATTR.pack(ATTR.size + len(value), kind) + value + bytes(-len(value) % 4)


def u32_attribute(kind: int, value: int) -> bytes:
    """One attribute that is a 32-bit number in the byte order of this machine."""
    return attribute(kind, struct.pack("=I", value))


def u32(value: bytes) -> int:
    """The number in such an attribute."""
    return int(struct.unpack("=I", value)[0])


def link(message: bytes) -> RawLink:
    """Take one RTM_NEWLINK apart."""
    _, _, index, flags, _ = IFINFO.unpack_from(message, HEADER.size)
    attrs: dict[int, bytes] = {}
    offset, end = HEADER.size + IFINFO.size, len(message) - ATTR.size
    while offset <= end:
        length, kind = ATTR.unpack_from(message, offset)
        if length < ATTR.size:
            break
        if (kind := kind & NLA_TYPE_MASK) in _READ:
            attrs[kind] = message[offset + ATTR.size : offset + length]
        offset += (length + 3) & ~3
    return RawLink(index, flags, attrs, dict(attributes(attrs.get(IFLA_LINKINFO, b""), 0)))


def address(message: bytes) -> RawAddress | None:
    """Take one RTM_NEWADDR apart; None when it names no address."""
    _, prefix, flags, scope, index = IFADDR.unpack_from(message, HEADER.size)
    attrs = dict(attributes(message, HEADER.size + IFADDR.size))
    packed = attrs.get(IFA_LOCAL) or attrs.get(IFA_ADDRESS)
    if packed is None:
        return None
    if IFA_FLAGS in attrs:  # the whole 32 bits; the header has room for 8
        (flags,) = struct.unpack("=I", attrs[IFA_FLAGS])
    proto = attrs[IFA_PROTO][0] if IFA_PROTO in attrs else 0
    interface = ipaddress.ip_interface((packed, prefix))
    words = [f"peer {ipaddress.ip_address(attrs[IFA_ADDRESS])}"] if attrs.get(IFA_ADDRESS, packed) != packed else []
    words += [f"metric {number}" for number in struct.unpack("=I", attrs.get(IFA_RT_PRIORITY, bytes(4))) if number]
    words += [f"scope {_SCOPES.get(scope, scope)}"] if scope and not interface.ip.is_link_local else []
    words += [word for flag, word in _ADDRESS_FLAGS.items() if flags & flag]
    return RawAddress(index, interface, flags, proto, text(attrs.get(IFA_LABEL, b"")), " ".join(words))


def can_be_lost(message: bytes, family: int) -> bool:
    """Is it an address that does not come back by itself when its link went down and up? (Temporary ones do.)"""
    told, _, flags, _, _ = IFADDR.unpack_from(message, HEADER.size)
    return bool(told == family and not flags & IFA_F_TEMPORARY)


def address_body(message: bytes, index: int) -> bytes:
    """The body of the RTM_NEWADDR that brings an IPv6 address back; it was checked before, so it counts at once."""
    family, prefix, flags, scope, _ = IFADDR.unpack_from(message, HEADER.size)
    found = dict(attributes(message, HEADER.size + IFADDR.size))
    flags = struct.unpack("=I", found[IFA_FLAGS])[0] if IFA_FLAGS in found else flags
    found[IFA_FLAGS] = struct.pack("=I", flags | IFA_F_NODAD)
    head = IFADDR.pack(family, prefix, flags & 0xFF, scope, index)
    return head + b"".join(attribute(kind, value) for kind, value in found.items())


def text(value: bytes) -> str:
    """A string attribute: it ends with a zero byte."""
    return value.rstrip(b"\0").decode(errors="replace")
