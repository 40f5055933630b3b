"""What the bridge driver does with its options and ports. Rules are those of br_netlink.c and br_stp.c of Linux 6.1."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cell_reconciler.drivers.netlink.transport import KernelError
from cell_reconciler.model import vlans
from cell_reconciler.model.live import VlanRange
from tests.fakes.devices import Device

DEFAULTS: dict[str, Any] = {
    "br_forward_delay": 1500,  # times are in hundredths of a second (USER_HZ)
    "br_hello_time": 200,
    "br_max_age": 2000,
    "br_ageing_time": 30000,
    "br_stp_state": 0,
    "br_priority": 32768,
    "br_vlan_filtering": 0,
    "br_group_fwd_mask": 0,
    "br_vlan_protocol": "802.1Q",
    "br_vlan_default_pvid": 1,
    "br_vlan_stats_enabled": 0,
    "br_mcast_router": 1,
    "br_mcast_snooping": 1,
    "br_mcast_query_use_ifaddr": 0,
    "br_mcast_querier": 0,
    "br_mcast_stats_enabled": 0,
    "br_mcast_hash_max": 4096,
    "br_mcast_igmp_version": 2,
    "br_mcast_mld_version": 1,
    "br_mcast_last_member_cnt": 2,
    "br_mcast_startup_query_cnt": 2,
    "br_mcast_last_member_intvl": 100,
    "br_mcast_membership_intvl": 26000,
    "br_mcast_querier_intvl": 25500,
    "br_mcast_query_intvl": 12500,
    "br_mcast_query_response_intvl": 1000,
    "br_mcast_startup_query_intvl": 3124,
}
PORT_DEFAULTS = {
    "brport_priority": 32,
    "brport_cost": 100,
    "brport_mode": 0,
    "brport_guard": 0,
    "brport_protect": 0,
    "brport_learning": 1,
    "brport_unicast_flood": 1,
    "brport_mcast_flood": 1,
    "brport_bcast_flood": 1,
    "brport_isolated": 0,
}
ORDER = list(DEFAULTS)  # in which br_changelink takes them
_FORWARD_DELAY = (200, 3000)
_RANGES = {"br_hello_time": (100, 1000), "br_max_age": (600, 4000)}


def fresh() -> dict[str, Any]:
    return dict(DEFAULTS)


def change(bridge: Device, data: Mapping[str, Any], ports: Sequence[Device]) -> None:
    """br_changelink"""
    for key in sorted(data, key=lambda key: ORDER.index(key) if key in ORDER else len(ORDER)):
        value = data[key]
        if key == "br_forward_delay" and bridge.data["br_stp_state"]:
            _within(value, _FORWARD_DELAY)
        if key in _RANGES:
            _within(value, _RANGES[key])
        if key == "br_group_fwd_mask" and value & 0b111:
            raise KernelError(errno.EINVAL, "")
        if key == "br_vlan_default_pvid":
            _new_default(bridge, ports, value)
        bridge.data[key] = value
        if key == "br_stp_state" and value:
            low, high = _FORWARD_DELAY  # br_stp_start
            bridge.data["br_forward_delay"] = min(max(bridge.data["br_forward_delay"], low), high)


def _within(value: int, limits: tuple[int, int]) -> None:
    if not limits[0] <= value <= limits[1]:
        raise KernelError(errno.ERANGE, "")


def fresh_port() -> dict[str, Any]:
    return dict(PORT_DEFAULTS)


def change_port(port: Device, options: Mapping[str, int]) -> None:
    """br_setport: a path cost has to be at least 1, a priority fits into 6 bits."""
    if not 1 <= options.get("brport_cost", 1) <= 65535:
        raise KernelError(errno.ERANGE, "")
    if options.get("brport_priority", 0) > 63:
        raise KernelError(errno.ERANGE, "")
    port.port.update(options)


def default_vlan(bridge: Device, port: Device) -> None:
    """br_vlan_init and nbp_vlan_init: the default VLAN, whether the bridge filters or not."""
    pvid = bridge.data["br_vlan_default_pvid"]
    port.vlans = (VlanRange(first=pvid, last=pvid, pvid=True, untagged=True),) if pvid else ()


def _new_default(bridge: Device, ports: Sequence[Device], pvid: int) -> None:
    """__br_vlan_set_default_pvid: whoever has the old one untagged as PVID gets the new one, unless it is there."""
    if not 0 <= pvid <= vlans.LAST:
        raise KernelError(errno.EINVAL, "")
    old = bridge.data["br_vlan_default_pvid"]
    for link in (bridge, *ports):
        has = vlans.each(link.vlans)
        was = has.get(old)
        if (old and not (was and was.pvid and was.untagged)) or pvid in has:
            continue
        has.pop(old, None)
        if pvid:
            has = {vid: msgspec.structs.replace(item, pvid=False) for vid, item in has.items()}
            has[pvid] = VlanRange(first=pvid, last=pvid, pvid=True, untagged=True)
        link.vlans = vlans.merged(has)


def set_vlans(link: Device, wanted: Sequence[VlanRange]) -> None:
    """What RTM_SETLINK and RTM_DELLINK of AF_BRIDGE leave behind."""
    for item in wanted:
        if not 1 <= item.first <= item.last <= 4094 or (item.pvid and item.first != item.last):
            raise KernelError(errno.EINVAL, "")
    link.vlans = vlans.canonical(wanted)
