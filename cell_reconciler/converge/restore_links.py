"""One link back to what it was: made again, in its mode, with its master, options, MTU, MAC, addresses and mark."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.drivers.netlink.ports import OPTIONS
from cell_reconciler.errors import CellError
from cell_reconciler.kinds.links.graph import TAP_KINDS
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP

RANK = {"bond": 1, "vlan": 2, "bridge": 3}  # what stands on others comes after them
_IDENTITY = {"bond": ("bond_mode",), "vlan": ("vlan_id", "vlan_protocol"), "bridge": ()}  # given when it is made
_TOLD = frozenset({"brport_state", "bond_active_slave", "bond_ad_info"})  # states, which nobody sets


def depth(link: Link, links: Mapping[str, Link]) -> tuple[int, int, str]:
    """A key to sort by: NICs, bonds, VLANs (those on VLANs after them), bridges."""
    steps, parent = 0, link.parent
    while parent is not None and parent in links and steps < len(links):
        steps, parent = steps + 1, links[parent].parent
    return RANK.get(link.kind or "", 0), steps, link.name


def disarm(name: str, door: NetlinkDoor) -> None:
    """A link that was not there before, and is still: it must not have the host's address, nor a place in its path."""
    link = door.link(name)
    if link is None or link.group != GROUP:
        return
    for cidr in link.owned_addresses:
        door.delete_address(name, cidr)
    if link.master is not None:
        door.set_link(name, master=None)


def remake(was: Link, door: NetlinkDoor) -> None:
    """A bond, VLAN or bridge that is gone, or is another one now, exists again as what it was."""
    if was.kind is None:
        return
    link = door.link(was.name)
    identity = {key: was.data[key] for key in _IDENTITY[was.kind] if key in was.data}
    if link is not None and link.kind == was.kind:
        if all(link.data.get(key) == value for key, value in identity.items()) and link.parent == was.parent:
            return
        if was.kind == "bond":
            _rebuild(was, door)
            return
    if link is not None:
        if link.group != GROUP:
            return  # somebody else's of the same name, since then
        door.delete_link(was.name)
    parent = was.parent if was.kind == "vlan" else None
    mac = was.mac if was.kind != "vlan" or was.mac != _mac(parent, door) else None
    door.create_link(was.name, was.kind, mac=mac, parent=parent, group=was.group, data=identity)


def _mac(name: str | None, door: NetlinkDoor) -> str | None:
    link = door.link(name) if name else None
    return link.mac if link is not None else None


def _rebuild(was: Link, door: NetlinkDoor) -> None:
    """The mode of a bond can be set while it is down and empty; its members come back when their turn comes."""
    door.set_link(was.name, up=False)
    for link in door.observe()["links"].values():
        if link.master == was.name:
            door.set_link(link.name, master=None)
    door.set_data(was.name, "bond", bond_mode=was.data["bond_mode"])


def restore_link(was: Link, door: NetlinkDoor) -> None:
    """Idempotent. A tap of another number is another VM's, and hardware that is gone cannot be put right here."""
    link = door.link(was.name)
    if link is None or (was.kind in TAP_KINDS and link.index != was.index):
        return
    if link.master != was.master:
        _back_to_master(was, link, door)
    if link.group != was.group:
        door.set_link(was.name, group=was.group)
    if (link.alias or "") != (was.alias or ""):
        door.set_alias(was.name, was.alias or "")
    if was.ipv6_disabled is not None and link.ipv6_disabled != was.ipv6_disabled:
        door.disable_ipv6(was.name, was.ipv6_disabled)
    _options(was, link, door)
    _basics(was, door)
    if (link := door.link(was.name)) is not None:
        _addresses(was, link, door)


def _basics(was: Link, door: NetlinkDoor) -> None:
    """MTU, MAC, up. The MAC of a port is its master's to say; a bridge takes a port's only while it has none."""
    link = door.link(was.name)
    if link is None:
        return
    if link.mtu != was.mtu:
        door.set_link(was.name, mtu=was.mtu)
    if link.mac != was.mac and (was.master is None or was.kind in RANK):
        door.set_link(was.name, mac=was.mac)
    if link.up != was.up:
        door.set_link(was.name, up=was.up)


def _back_to_master(was: Link, link: Link, door: NetlinkDoor) -> None:
    if link.master is not None:
        door.set_link(was.name, master=None)
    master = door.link(was.master) if was.master else None
    if master is None:
        return
    if master.kind == "bond" and link.up:  # bond_enslave: "Device can not be enslaved while up"
        door.set_link(was.name, up=False)
    door.set_link(was.name, master=master.name)


def _options(was: Link, link: Link, door: NetlinkDoor) -> None:
    """Options of the kind and of the port.

    Each for itself: one that the kernel does not take back now (a bond that is up, say) is no reason to leave out the
    others, nor to call the host cut off.
    """
    if was.kind in RANK:
        for key, value in _differing(was.data, link.data).items():
            with contextlib.suppress(CellError):
                door.set_data(was.name, str(was.kind), **{key: value})
    for key, value in _differing(was.port, link.port).items():
        if key in OPTIONS:
            with contextlib.suppress(CellError):
                door.set_port(was.name, **{key: value})


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in was.items() if now.get(key) != value and key not in _TOLD}
    return {key: value for key, value in found.items() if not isinstance(value, dict)}


def _addresses(was: Link, link: Link, door: NetlinkDoor) -> None:
    """All that are gone come back; of those that came, only ours go."""
    for cidr in was.addresses:
        if cidr not in link.addresses:
            door.add_address(was.name, cidr, own=cidr in was.owned_addresses)
    for cidr in link.owned_addresses:
        if cidr not in was.addresses:
            door.delete_address(was.name, cidr)
