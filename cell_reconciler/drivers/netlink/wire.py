"""pyroute2's message classes, completed, and with every attribute name checked. Imported when the door is opened.

pyroute2 0.9.7 drops attributes that it does not know without a word. Its table of bond attributes ends at
TLB_DYNAMIC_LB, types AD_ACTOR_SYSTEM as plain bytes and cannot write lists of addresses; that of members ends at
AD_AGGREGATOR_ID. The kernel's if_link.h goes on.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cell_reconciler.drivers.netlink.parts import only_parts_of
from cell_reconciler.drivers.netlink.raw import attribute
from cell_reconciler.drivers.netlink.transport import HEADER, attributes

with only_parts_of("pyroute2"):
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ifinfmsg.plugins.bond import bond as _bond

IFF_UP = 1
_ATTR = struct.Struct("=HH")  # struct nlattr: length, type
# pyroute2's names of numbers. Decoded here, since most options are numbers and pyroute2 takes 20 times as long.
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
    message = ifinfmsg()
    message["index"] = index
    if up is not None:
        message["flags"], message["change"] = (IFF_UP if up else 0), IFF_UP
    pairs = _named(ifinfmsg.nla_map, attrs or {})
    if kind is not None:
        info: list[tuple[str, Any]] = [("IFLA_INFO_KIND", kind)]
        if data:
            table = ifinfmsg.ifinfo.data_map.get(kind)
            if table is None:
                raise KeyError(f"links of kind {kind} have no attributes that are known")
            info.append(("IFLA_INFO_DATA", {"attrs": _named(table.nla_map, data)}))
        pairs.append(("IFLA_LINKINFO", {"attrs": info}))
    if member is not None:
        told = {"attrs": _named(bond_slave.nla_map, member)}
        info = [("IFLA_INFO_SLAVE_KIND", "bond"), ("IFLA_INFO_SLAVE_DATA", told)]
        pairs.append(("IFLA_LINKINFO", {"attrs": info}))
    message["attrs"] = pairs
    return _encode(message)


def address_request(index: int, family: int, prefix: int = 0, attrs: Mapping[str, Any] | None = None) -> bytes:
    """The payload of an RTM_*ADDR request; ``attrs`` by the kernel's names without ``IFA_``."""
    message = ifaddrmsg()
    message["index"], message["family"], message["prefixlen"] = index, family, prefix
    message["attrs"] = _named(ifaddrmsg.nla_map, attrs or {}, "IFA_")
    return _encode(message)


def options(kind: str, payload: bytes, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """IFLA_INFO_DATA, or IFLA_INFO_SLAVE_DATA for ``bond_slave``: names without ``IFLA_`` in lower case, and values.

    Names that end with one of ``skip`` are left out; so is everything of a kind that pyroute2 lacks.
    """
    table = ifinfmsg.ifinfo.bond_slave_data if kind == "bond_slave" else ifinfmsg.ifinfo.data_map.get(kind)
    names = table.nla_map if table else ()
    for number, value in attributes(payload, 0):
        if number >= len(names):
            continue  # younger than pyroute2
        name, form = names[number]
        key = name.removeprefix("IFLA_").lower()
        if key.endswith(skip):
            continue
        if form in _NUMBERS:
            yield key, _NUMBERS[form].unpack(value)[0]
        elif name in _TARGETS:
            yield key, [str(ipaddress.ip_address(packed)) for _, packed in attributes(value, 0)]
        else:
            attr = _ATTR.pack(len(value) + _ATTR.size, number) + value
            nested = table(_ATTR.pack(len(attr) + _ATTR.size, 0) + attr)
            nested.decode()
            yield key, nested["attrs"][0][1]


def _named(table: Any, values: Mapping[str, Any], prefix: str = "IFLA_") -> list[tuple[str, Any]]:
    known = {entry[-2] for entry in table}
    pairs = [(prefix + name.upper(), value) for name, value in values.items()]
    pairs = [(name, _targets(value) if name in _TARGETS else value) for name, value in pairs]
    for name, _ in pairs:
        if name not in known:
            raise KeyError(f"{name} is not an attribute that is known")
    return pairs


def _targets(addresses: Iterable[str]) -> bytes:
    packed = [ipaddress.ip_address(address).packed for address in addresses]
    return b"".join(attribute(number, each) for number, each in enumerate(packed, 1))


def _encode(message: Any) -> bytes:
    message.encode()
    return bytes(message.data[HEADER.size :])
