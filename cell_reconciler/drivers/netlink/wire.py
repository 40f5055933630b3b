"""pyroute2's tables of attributes, completed, and every name checked against them. Imported when the door is opened.

The tables say which name has which number and form. The forms that occur are encoded and decoded here: a host has
thousands of bridges and VLANs, and pyroute2 takes twenty times as long. It decodes the few that are nested.

pyroute2 0.9.7 drops attributes that it does not know without a word. Its table of bond attributes ends at
TLB_DYNAMIC_LB, types AD_ACTOR_SYSTEM as plain bytes and cannot write lists of addresses; that of members ends at
AD_AGGREGATOR_ID. The kernel's if_link.h goes on.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from cell_reconciler.drivers.netlink.parts import only_parts_of
from cell_reconciler.drivers.netlink.raw import (
    IFADDR,
    IFF_UP,
    IFINFO,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINKINFO,
    attribute,
)
from cell_reconciler.drivers.netlink.transport import attributes

with only_parts_of("pyroute2"):
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ifinfmsg.plugins.bond import bond as _bond

_FLAGS = struct.Struct("=II")  # struct ifla_vlan_flags: flags, mask
# pyroute2's names of numbers.
_NUMBERS = {
    name: struct.Struct(form)
    for name, form in {
        "uint8": "=B",
        "uint16": "=H",
        "uint32": "=I",
        "int32": "=i",
        "uint64": "=Q",
        "be16": ">H",
    }.items()
}
# Lists of addresses: attributes in an attribute.
_TARGETS = frozenset({"IFLA_BOND_ARP_IP_TARGET", "IFLA_BOND_NS_IP6_TARGET"})
_OTHERWISE = {"IFLA_BOND_AD_ACTOR_SYSTEM": "l2addr", "IFLA_BOND_ARP_IP_TARGET": "cdata"}


class bond(_bond):  # type: ignore[misc]  # pyroute2 has no types
    """``enum`` IFLA_BOND_* of the kernel's if_link.h, whole."""

    nla_map = (
        *((name, _OTHERWISE.get(name, kind)) for name, kind in _bond.nla_map),
        ("IFLA_BOND_PEER_NOTIF_DELAY", "uint32"),
        ("IFLA_BOND_AD_LACP_ACTIVE", "uint8"),
        ("IFLA_BOND_MISSED_MAX", "uint8"),
        ("IFLA_BOND_NS_IP6_TARGET", "cdata"),
        ("IFLA_BOND_COUPLED_CONTROL", "uint8"),
        ("IFLA_BOND_BROADCAST_NEIGH", "uint8"),
    )


class bond_slave(ifinfmsg.ifinfo.bond_slave_data):  # type: ignore[misc]
    """``enum`` IFLA_BOND_SLAVE_* of the kernel's if_link.h, whole."""

    nla_map = (
        *ifinfmsg.ifinfo.bond_slave_data.nla_map,
        ("IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE", "uint8"),
        ("IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE", "uint16"),
        ("IFLA_BOND_SLAVE_PRIO", "int32"),
    )


ifinfmsg.ifinfo.register_link_kind(module={"bond": bond})
ifinfmsg.ifinfo.bond_slave_data = bond_slave


def link_request(
    index: int = 0,
    *,
    attrs: Mapping[str, Any] | None = None,
    kind: str | None = None,
    data: Mapping[str, Any] | None = None,
    member: Mapping[str, Any] | None = None,
    up: bool | None = None,
) -> bytes:
    """The payload of an RTM_*LINK request; by the kernel's names without ``IFLA_``.

    ``data`` are options of ``kind``, ``member`` those that the link has as a member of a bond.

    Raises KeyError for a name that the kernel's tables do not have.
    """
    body = IFINFO.pack(0, 0, index, IFF_UP if up else 0, 0 if up is None else IFF_UP)
    body += _encoded(ifinfmsg, attrs or {})
    info = b""
    if kind is not None:
        info += attribute(IFLA_INFO_KIND, kind.encode() + b"\0")
        if data:
            table = ifinfmsg.ifinfo.data_map.get(kind)
            if table is None:
                raise KeyError(f"links of kind {kind} have no attributes that are known")
            info += attribute(IFLA_INFO_DATA, _encoded(table, data))
    if member is not None:
        info += attribute(IFLA_INFO_SLAVE_KIND, b"bond\0")
        info += attribute(IFLA_INFO_SLAVE_DATA, _encoded(bond_slave, member))
    return body + (attribute(IFLA_LINKINFO, info) if info else b"")


def address_request(index: int, family: int, prefix: int = 0, attrs: Mapping[str, Any] | None = None) -> bytes:
    """The payload of an RTM_*ADDR request; ``attrs`` by the kernel's names without ``IFA_``."""
    return IFADDR.pack(family, prefix, 0, 0, index) + _encoded(ifaddrmsg, attrs or {}, "IFA_")


@cache
def readers(kind: str) -> dict[int, tuple[str, Callable[[bytes], Any]]]:
    """Attributes of IFLA_INFO_DATA, or of IFLA_INFO_SLAVE_DATA for ``bond_slave``, by their number.

    The name without ``IFLA_`` in lower case, and what makes a value of the payload; none of a kind unknown to pyroute2.
    """
    table = ifinfmsg.ifinfo.bond_slave_data if kind == "bond_slave" else ifinfmsg.ifinfo.data_map.get(kind)
    names = table.nla_map if table else ()
    return {
        number: (name.removeprefix("IFLA_").lower(), _reader(table, number, name, form))
        for number, (name, form) in enumerate(names)
    }


def _reader(table: Any, number: int, name: str, form: str) -> Callable[[bytes], Any]:
    if form in _NUMBERS:
        unpack = _NUMBERS[form].unpack
        return lambda value: unpack(value)[0]
    if form == "l2addr":
        return lambda value: value.hex(":")
    if form == "vlan_flags":
        return lambda value: _FLAGS.unpack(value)[0]
    if name in _TARGETS:
        return lambda value: [str(ipaddress.ip_address(packed)) for _, packed in attributes(value, 0)]

    def decode(value: bytes) -> Any:
        nested = table(attribute(0, attribute(number, value)))
        nested.decode()
        return _plain(nested["attrs"][0][1])

    return decode


def _plain(raw: Any) -> Any:
    if isinstance(raw, dict):
        if "attrs" in raw:
            return {str(k).removeprefix("IFLA_").lower(): _plain(v) for k, v in raw["attrs"]}
        return raw.get("flags", {k: _plain(v) for k, v in raw.items()})
    return [_plain(item) for item in raw] if isinstance(raw, list | tuple) else raw


def _encoded(table: Any, values: Mapping[str, Any], prefix: str = "IFLA_") -> bytes:
    known = _numbers(table)
    body = b""
    for key, value in values.items():
        name = prefix + key.upper()
        if name not in known:
            raise KeyError(f"{name} is not an attribute that is known")
        number, form = known[name]
        body += attribute(number, _targets(value) if name in _TARGETS else _payload(name, form, value))
    return body


@cache
def _numbers(table: Any) -> dict[str, tuple[int, str]]:
    return {name: (number, form) for number, (name, form) in enumerate(table.nla_map)}


def _payload(name: str, form: str, value: Any) -> bytes:
    if form in _NUMBERS:
        return _NUMBERS[form].pack(value)
    match form:
        case "asciiz":
            return str(value).encode() + b"\0"
        case "l2addr":
            return bytes.fromhex(value.replace(":", ""))
        case "ipaddr":
            return ipaddress.ip_address(value).packed
        case "vlan_flags":
            return _FLAGS.pack(value["flags"], value["mask"])
    raise KeyError(f"{name} is of a form that cannot be written")


def _targets(addresses: Iterable[str]) -> bytes:
    packed = [ipaddress.ip_address(address).packed for address in addresses]
    return b"".join(attribute(number, each) for number, each in enumerate(packed, 1))
