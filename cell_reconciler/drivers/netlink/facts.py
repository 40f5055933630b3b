"""What a message says, in canonical form: enums by the kernel's names, links by name, no counters and no timers.

Names of bond values are those of Documentation/networking/bonding; of bridge port states those of ``ip -d link``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from cell_reconciler.drivers.netlink import ports
from cell_reconciler.drivers.netlink.raw import (
    ATTR,
    IFA_F_PERMANENT,
    IFA_F_STABLE_PRIVACY,
    IFA_F_TEMPORARY,
    IFF_LOWER_UP,
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINK,
    IFLA_LINK_NETNSID,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_PARENT_DEV_BUS_NAME,
    IFLA_PARENT_DEV_NAME,
    IFLA_PERM_ADDRESS,
    RawAddress,
    RawLink,
    text,
)
from cell_reconciler.drivers.netlink.transport import NLA_TYPE_MASK
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import IFA_PROTO

BOND_MODES = (
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
)
# Attributes whose numbers have names; the place in the tuple (or the key) is the kernel's number.
ENUMS: dict[str, dict[int, str]] = {
    name: dict(enumerate(words))
    for name, words in {
        "bond_mode": BOND_MODES,
        "bond_primary_reselect": ("always", "better", "failure"),
        "bond_fail_over_mac": ("none", "active", "follow"),
        "bond_xmit_hash_policy": (
            "layer2",
            "layer3+4",
            "layer2+3",
            "encap2+3",
            "encap3+4",
            "vlan+srcmac",
        ),
        "bond_arp_validate": (
            "none",
            "active",
            "backup",
            "all",
            "filter",
            "filter_active",
            "filter_backup",
        ),
        "bond_arp_all_targets": ("any", "all"),
        "bond_ad_lacp_rate": ("slow", "fast"),
        "bond_ad_select": ("stable", "bandwidth", "count"),
        "bond_slave_state": ("active", "backup"),
        "bond_slave_mii_status": ("up", "going down", "down", "going back"),
        "brport_state": ("disabled", "listening", "learning", "forwarding", "blocking"),
    }.items()
} | {name: {0x8100: "802.1Q", 0x88A8: "802.1ad"} for name in ("vlan_protocol", "br_vlan_protocol")}
READ = ("bond", "bridge", "vlan")  # the kinds whose options somebody looks at
VLAN_FLAGS = 0x1F  # enum vlan_flags of if_vlan.h, all of them: an attribute of flags has a mask beside it
# Attributes that hold the index of a link.
LINKS = frozenset({"bond_active_slave", "bond_primary"})
# Attributes that move by themselves: an unchanged host must be observed the same twice.
MOVING = (
    *("_timer", "_cnt", "failure_count", "topology_change", "_detected", "_ack", "_pending", "_flush", "_pad"),
    *("root_id", "root_port", "root_path_cost", "bridge_id", "designated_port", "designated_cost", "mcast_n_groups"),
    *("vlan_egress_qos", "vlan_ingress_qos", "unknown"),
)

IFAPROT_KERNEL_LO, IFAPROT_KERNEL_LL = 1, 3


def read(raw: RawLink, name_of: Callable[[int], str | None], addresses: Iterable[RawAddress]) -> Link:
    """One link with its addresses; ``name_of`` turns an index into a name."""
    kind = text(raw.info[IFLA_INFO_KIND]) if IFLA_INFO_KIND in raw.info else None
    mac = raw.mac(IFLA_ADDRESS) or ""
    port = _port(raw, name_of)
    told: dict[str, list[str]] = {"ours": [], "static": [], "dynamic": []}
    options: dict[str, str] = {}
    for one in addresses:
        if (owner := _owner(one, mac)) is not None:
            told[owner].append(str(one.interface))
            label = f"label {one.label}" if one.label not in ("", raw.name) else ""
            if owner == "static" and (label or one.options):
                options[str(one.interface)] = f"{one.options} {label}".strip()
    master, parent = raw.number(IFLA_MASTER), raw.number(IFLA_LINK)
    # The index of a peer in another network namespace means nothing here.
    parent = 0 if IFLA_LINK_NETNSID in raw.attrs else parent
    return Link(
        name=raw.name,
        index=raw.index,
        kind=kind,
        mac=mac,
        permanent_mac=raw.mac(IFLA_PERM_ADDRESS) or port.get("bond_slave_perm_hwaddr"),
        mtu=raw.number(IFLA_MTU),
        up=bool(raw.flags & IFF_UP),
        carrier=bool(raw.flags & IFF_LOWER_UP),
        master=name_of(master) if master else None,
        parent=name_of(parent) if parent else None,
        group=raw.number(IFLA_GROUP),
        alias=text(raw.attrs[IFLA_IFALIAS]) if IFLA_IFALIAS in raw.attrs else None,
        data=_named(kind, raw.info[IFLA_INFO_DATA], name_of) if kind in READ and IFLA_INFO_DATA in raw.info else {},
        port=port,
        addresses=tuple(sorted(told["ours"] + told["static"])),
        owned_addresses=tuple(sorted(told["ours"])),
        dynamic_addresses=tuple(sorted(told["dynamic"])),
        address_options=options,
        ipv6_disabled=raw.ipv6_disabled if kind != "tun" else None,
        pci=_pci(raw),
    )


def _pci(raw: RawLink) -> str | None:
    """The PCI device behind a link; a virtio card is a device on a bus of its own, which sits on a PCI device."""
    if IFLA_PARENT_DEV_NAME not in raw.attrs or IFLA_PARENT_DEV_BUS_NAME not in raw.attrs:
        return None
    bus, name = text(raw.attrs[IFLA_PARENT_DEV_BUS_NAME]), text(raw.attrs[IFLA_PARENT_DEV_NAME])
    if bus == "virtio":
        bus, name = "pci", Path("/sys/bus/virtio/devices", name).resolve().parent.name
    return name if bus == "pci" and ":" in name else None


def ipv6_switch(name: str) -> Path:
    """By path and not in sysctl's notation, where the dot of br-VM.101 would be a separator."""
    return Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")


def _port(raw: RawLink, name_of: Callable[[int], str | None]) -> dict[str, Any]:
    """Of a bond's member everything; of a bridge's port the options that somebody looks at."""
    kind, data = raw.info.get(IFLA_INFO_SLAVE_KIND), raw.info.get(IFLA_INFO_SLAVE_DATA)
    if kind is None or data is None:
        return {}
    if text(kind) == "bond":
        return _named("bond_slave", data, name_of)
    if text(kind) == "bridge":
        found: dict[str, Any] = dict(ports.read(data))
        if "brport_state" in found:
            found["brport_state"] = ENUMS["brport_state"].get(found["brport_state"], found["brport_state"])
        return found
    return {}


def _named(kind: str, payload: bytes, name_of: Callable[[int], str | None]) -> dict[str, Any]:
    """Options by the kernel's names without ``IFLA_``."""
    known = _readers(kind)
    found: dict[str, Any] = {}
    offset, end = 0, len(payload) - ATTR.size
    while offset <= end:  # not by ``attributes``: this is the innermost loop of an observation
        length, number = ATTR.unpack_from(payload, offset)
        if length < ATTR.size:
            break
        reader = known.get(number & NLA_TYPE_MASK)
        if reader is not None:
            key, decode, words = reader
            value = decode(payload[offset + ATTR.size : offset + length])
            found[key] = value if words is None else words.get(value, value)
        offset += (length + 3) & ~3
    for key in LINKS & found.keys():
        found[key] = name_of(found[key])
    return found


@cache
def _readers(kind: str) -> dict[int, tuple[str, Callable[[bytes], Any], dict[int, str] | None]]:
    """By number: the name, what makes a value of the payload, and the words for the values."""
    from cell_reconciler.drivers.netlink.wire import readers

    found = readers(kind).items()
    return {number: (key, decode, ENUMS.get(key)) for number, (key, decode) in found if not key.endswith(MOVING)}


def numbers(data: dict[str, Any], index_of: Callable[[str], int]) -> dict[str, Any]:
    """The reverse of ``info``, for requests. Raises KeyError for a word that the kernel does not have."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if key in ENUMS and isinstance(value, str):
            found[key] = {word: number for number, word in ENUMS[key].items()}[value]
        elif key in LINKS:
            found[key] = index_of(value) if value else 0
        elif key == "vlan_flags":
            found[key] = {"flags": value, "mask": VLAN_FLAGS}
        else:
            found[key] = value
    return found


def _owner(address: RawAddress, mac: str) -> str | None:
    """``ours``, ``static`` or ``dynamic`` (DHCP, RA, daemons).

    None for what the kernel makes by itself (link-local addresses) and for temporary privacy addresses.
    """
    if address.interface.version == 6:
        made = address.proto == IFAPROT_KERNEL_LL or address.flags & IFA_F_STABLE_PRIVACY
        made = made or address.interface.ip == _eui64(mac)
        if (address.interface.ip.is_link_local and made) or address.flags & IFA_F_TEMPORARY:
            return None
    if address.proto == IFA_PROTO:
        return "ours"
    static = address.flags & IFA_F_PERMANENT and address.proto in (0, IFAPROT_KERNEL_LO)
    return "static" if static else "dynamic"


def _eui64(mac: str) -> ipaddress.IPv6Address | None:
    """The link-local address that the kernel makes of a MAC (RFC 4291): older kernels do not mark it otherwise."""
    octets = mac.split(":")
    if len(octets) != 6:
        return None
    first = int(octets[0], 16) ^ 2
    tail = bytes([first, *(int(o, 16) for o in octets[1:3]), 0xFF, 0xFE, *(int(o, 16) for o in octets[3:])])
    return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + tail)
