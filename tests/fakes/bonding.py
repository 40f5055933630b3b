"""What the bonding driver does with its options: which may be set when, and what they bring about.

Rules and numbers are those of bond_options.c and bond_netlink.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from cell_reconciler.drivers.netlink.facts import BOND_MODES
from cell_reconciler.drivers.netlink.transport import KernelError
from tests.fakes.devices import Device

RR, AB, XOR, BROADCAST, LACP, TLB, ALB = BOND_MODES
OWN_MACS = (TLB, ALB)  # members keep addresses of their own in these modes
DEFAULTS: dict[str, Any] = {
    "bond_mode": RR,
    "bond_miimon": 0,
    "bond_updelay": 0,
    "bond_downdelay": 0,
    "bond_peer_notif_delay": 0,
    "bond_use_carrier": 1,
    "bond_arp_interval": 0,
    "bond_arp_validate": "none",
    "bond_arp_all_targets": "any",
    "bond_primary_reselect": "always",
    "bond_fail_over_mac": "none",
    "bond_xmit_hash_policy": "layer2",
    "bond_resend_igmp": 1,
    "bond_num_peer_notif": 1,
    "bond_all_slaves_active": 0,
    "bond_min_links": 0,
    "bond_lp_interval": 1,
    "bond_packets_per_slave": 1,
    "bond_ad_lacp_active": 1,
    "bond_ad_lacp_rate": "slow",
    "bond_ad_select": "stable",
    "bond_tlb_dynamic_lb": 1,
    "bond_missed_max": 2,
}
LACP_ONLY_DATA: dict[str, Any] = {
    "bond_ad_actor_sys_prio": 65535,
    "bond_ad_user_port_key": 0,
    "bond_ad_actor_system": "00:00:00:00:00:00",
}
_NO_ARP = frozenset({LACP, TLB, ALB})
_ONLY: dict[str, frozenset[str]] = {
    "bond_packets_per_slave": frozenset({RR}),
    "bond_ad_lacp_active": frozenset({LACP}),
    "bond_ad_lacp_rate": frozenset({LACP}),
    "bond_ad_actor_sys_prio": frozenset({LACP}),
    "bond_ad_actor_system": frozenset({LACP}),
    "bond_ad_user_port_key": frozenset({LACP}),
    "bond_primary": frozenset({AB, TLB, ALB}),
    "bond_active_slave": frozenset({AB, TLB, ALB}),
    "bond_tlb_dynamic_lb": frozenset({TLB, ALB}),
} | dict.fromkeys(("bond_arp_interval", "bond_arp_validate", "bond_missed_max"), frozenset(BOND_MODES) - _NO_ARP)
_DOWN = frozenset(
    {
        "bond_mode",
        "bond_ad_lacp_rate",
        "bond_ad_lacp_active",
        "bond_ad_select",
        "bond_ad_user_port_key",
        "bond_tlb_dynamic_lb",
    }
)
_EMPTY = frozenset({"bond_mode", "bond_fail_over_mac"})
# bond_changelink takes them in this order, whatever their order in the request.
_ORDER = (
    *("bond_mode", "bond_active_slave", "bond_miimon", "bond_updelay", "bond_downdelay", "bond_peer_notif_delay"),
    *("bond_use_carrier", "bond_arp_interval", "bond_arp_ip_target", "bond_ns_ip6_target", "bond_arp_validate"),
    *("bond_arp_all_targets", "bond_primary", "bond_primary_reselect", "bond_fail_over_mac", "bond_xmit_hash_policy"),
    *("bond_resend_igmp", "bond_num_peer_notif", "bond_all_slaves_active", "bond_min_links", "bond_lp_interval"),
    *("bond_packets_per_slave", "bond_ad_lacp_active", "bond_ad_lacp_rate", "bond_ad_select"),
    *("bond_ad_actor_sys_prio", "bond_ad_user_port_key", "bond_ad_actor_system", "bond_tlb_dynamic_lb"),
    "bond_missed_max",
)
_DELAYS = ("bond_updelay", "bond_downdelay", "bond_peer_notif_delay")
_TARGETS = ("bond_arp_ip_target", "bond_ns_ip6_target")


def fresh() -> dict[str, Any]:
    """Options of a new bond; delays are kept as the kernel does, in units of miimon."""
    return dict(DEFAULTS) | {"primary": None}


def change(bond: Device, data: Mapping[str, Any], members: list[Device]) -> None:
    """bond_changelink: what came before the first that is refused has been done."""
    asked_miimon = 0
    for key in _ORDER:
        if key not in data:
            continue
        value = data[key]
        if key == "bond_miimon":
            asked_miimon = value
        if key == "bond_arp_interval" and value and asked_miimon:
            raise KernelError(errno.EINVAL, "ARP monitoring cannot be used with MII monitoring")
        _permitted(bond, key, members)
        _set(bond, key, value, members)


def _permitted(bond: Device, key: str, members: list[Device]) -> None:
    """bond_opt_check_deps"""
    if bond.data["bond_mode"] not in _ONLY.get(key, BOND_MODES):
        raise KernelError(errno.EACCES, "option not supported in mode")
    if key in _EMPTY and members:
        raise KernelError(errno.ENOTEMPTY, "unable to set option because the bond device has slaves")
    if key in _DOWN and bond.up:
        raise KernelError(errno.EBUSY, "unable to set option because the bond device is up")


def _set(bond: Device, key: str, value: Any, members: list[Device]) -> None:
    options = bond.data
    if key == "bond_mode":
        _mode(options, value)
    elif key == "bond_miimon":
        options[key] = value
        if value and options["bond_arp_interval"]:
            options["bond_arp_interval"] = 0
            options["bond_arp_validate"] = "none"
    elif key in _DELAYS:
        if not options["bond_miimon"]:
            raise KernelError(errno.EPERM, "MII monitoring is disabled")
        options[key] = value // options["bond_miimon"]
    elif key == "bond_arp_interval":
        options[key] = value
        if value:
            options["bond_miimon"] = 0
    elif key == "bond_primary":
        options["primary"] = value or None  # remembered, also when it is no member
        options["active"] = None
    elif key == "bond_active_slave":
        if value and value not in usable(members):  # bond_option_active_slave_set
            raise KernelError(errno.EINVAL, "")
        options["active"] = value
    elif key in _TARGETS:
        options[key] = list(value)
    else:
        options[key] = value


def _mode(options: dict[str, Any], mode: str) -> None:
    """bond_option_mode_set"""
    if mode in _NO_ARP:
        options["bond_arp_interval"] = 0
        options["bond_miimon"] = options["bond_miimon"] or 100
    if mode == ALB:
        options["bond_tlb_dynamic_lb"] = 1
    options["bond_arp_validate"] = "none"
    options["bond_mode"] = mode


def shown(bond: Device, members: list[Device]) -> dict[str, Any]:
    """bond_fill_info"""
    told = {key: value for key, value in bond.data.items() if key.startswith("bond_")}
    for key in _DELAYS:
        told[key] *= told["bond_miimon"]
    if told["bond_mode"] != LACP:
        told = {key: value for key, value in told.items() if key not in LACP_ONLY_DATA}
    else:
        told = {**LACP_ONLY_DATA, **told}
    for key in _TARGETS:
        if not told.get(key):
            told.pop(key, None)
    if told["bond_mode"] in _ONLY["bond_primary"]:
        primary, names = bond.data["primary"], usable(members)
        if primary in [member.name for member in members]:
            told["bond_primary"] = primary
        if names:
            told["bond_active_slave"] = next(n for n in (bond.data.get("active"), primary, names[0]) if n in names)
    return told


def usable(members: list[Device]) -> list[str]:
    """Names of the members that could be the active one, the preferred ones first."""
    found = [member for member in members if member.up and member.cable]
    return [member.name for member in sorted(found, key=lambda member: -member.port.get("bond_slave_prio", 0))]
