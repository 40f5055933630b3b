"""Policy rules: what a message of the kernel says, and the message that makes or deletes one.

Numbers are those of the kernel's fib_rules.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from cell_reconciler.drivers.netlink.raw import attribute, text, u32, u32_attribute
from cell_reconciler.drivers.netlink.transport import HEADER, attributes
from cell_reconciler.model.live import Rule

RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
# struct fib_rule_hdr: family, dst and src length, tos, table, 2 unused, action, flags
RULE = struct.Struct("=BBBBBBBBI")
_DST, _SRC, _IIFNAME, _PRIORITY, _FWMARK, _TABLE, _FWMASK, _OIFNAME = 1, 2, 3, 6, 10, 15, 16, 17
_SUPPRESS_IFGROUP, _SUPPRESS_PREFIXLEN, _PAD, _PROTOCOL = 13, 14, 18, 21
_PLAIN = frozenset({_DST, _SRC, _IIFNAME, _PRIORITY, _FWMARK, _TABLE, _FWMASK, _OIFNAME, _PAD, _PROTOCOL})
_SAID = {4: "goto", 11: "realm", 12: "tunnel", 13: "suppress_ifgroup", 14: "suppress_prefixlength", 19: "l3mdev"}
_SAID |= {20: "uidrange", 22: "ipproto", 23: "sport", 24: "dport", 25: "dscp"}
_TO_TABLE = 1
_ACTIONS = {1: "to_tbl", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_INVERT = 0x2  # FIB_RULE_INVERT; the other flags tell a state
_ALL = 0xFFFFFFFF
# The kernel's own, as ``ip rule`` shows them on a fresh host: priority → table.
_DEFAULTS = {0: 255, 32766: 254, 32767: 253}


def request(family: int) -> bytes:
    """The body of an RTM_GETRULE dump."""
    return RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)


def read(message: bytes, family: int) -> Rule | None:
    """One RTM_NEWRULE in our words; None for the kernel's own, and for those of a family that was not asked for."""
    told, to_length, from_length, tos, table, _, _, action, flags = RULE.unpack_from(message, HEADER.size)
    if told != family:
        return None
    found = dict(attributes(message, HEADER.size + RULE.size))
    for suppress in (_SUPPRESS_IFGROUP, _SUPPRESS_PREFIXLEN):
        if suppress in found and u32(found[suppress]) == _ALL:
            del found[suppress]
    odd = [_SAID.get(a, f"attribute {a}") for a in found.keys() - _PLAIN]
    odd += (["not"] if flags & _INVERT else []) + ([f"tos {tos}"] if tos else [])
    mark = u32(found[_FWMARK]) if _FWMARK in found else None
    mask = u32(found[_FWMASK]) if _FWMASK in found else None
    rule = Rule(
        family=4 if family == socket.AF_INET else 6,
        priority=u32(found[_PRIORITY]) if _PRIORITY in found else 0,
        table=u32(found[_TABLE]) if _TABLE in found else table,
        source=f"{_address(found[_SRC])}/{from_length}" if _SRC in found else None,
        to=f"{_address(found[_DST])}/{to_length}" if _DST in found else None,
        mark=mark,
        mask=None if mark is not None and mask == _ALL else mask,
        iif=text(found[_IIFNAME]) if _IIFNAME in found else None,
        oif=text(found[_OIFNAME]) if _OIFNAME in found else None,
        protocol=found[_PROTOCOL][0] if _PROTOCOL in found else 0,
        action=_ACTIONS.get(action, str(action)),
        detail=", ".join(sorted(odd)),
    )
    return None if _from_the_start(rule) else rule


def _from_the_start(rule: Rule) -> bool:
    selects = (rule.source, rule.to, rule.mark, rule.mask, rule.iif, rule.oif)
    plain = rule.action == "to_tbl" and not rule.detail and all(value is None for value in selects)
    return plain and _DEFAULTS.get(rule.priority) == rule.table


def body(rule: Rule) -> bytes:
    """The body of the RTM_NEWRULE or RTM_DELRULE of a rule that looks into a table."""
    source = ipaddress.ip_network(rule.source) if rule.source else None
    to = ipaddress.ip_network(rule.to) if rule.to else None
    family = socket.AF_INET if rule.family == 4 else socket.AF_INET6
    lengths = (to.prefixlen if to else 0, source.prefixlen if source else 0)
    table = rule.table if rule.table < 256 else 0
    return b"".join(
        (
            RULE.pack(family, *lengths, 0, table, 0, 0, _TO_TABLE, 0),
            u32_attribute(_PRIORITY, rule.priority),
            u32_attribute(_TABLE, rule.table),
            attribute(_PROTOCOL, bytes([rule.protocol])),
            attribute(_SRC, source.network_address.packed) if source else b"",
            attribute(_DST, to.network_address.packed) if to else b"",
            u32_attribute(_FWMARK, rule.mark) if rule.mark is not None else b"",
            u32_attribute(_FWMASK, rule.mask) if rule.mask is not None else b"",
            attribute(_IIFNAME, rule.iif.encode() + b"\0") if rule.iif else b"",
            attribute(_OIFNAME, rule.oif.encode() + b"\0") if rule.oif else b"",
        )
    )


def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))
