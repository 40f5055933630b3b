"""What only a VLAN needs done to it."""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.errors import CellError, Refused, StepFailed
from cell_reconciler.kinds.links.actions import CreateLink, LinkAction
from cell_reconciler.kinds.links.layer3_actions import kept
from cell_reconciler.kinds.vlan.observe import tag
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP


class CreateVlan(CreateLink, frozen=True, kw_only=True):
    """Make a VLAN device. Says which one has the VLAN already, where the kernel says that one has."""

    def do(self, doors: Doors) -> None:
        try:
            CreateLink.do(self, doors)
        except StepFailed:
            wanted = self.parent, self.data["vlan_protocol"], self.data["vlan_id"]
            _no_twin(self.name, wanted, doors.netlink.observe()["links"])
            raise


class ReplaceVlan(LinkAction, frozen=True, kw_only=True):
    """Delete a VLAN device and make another one under its name, with all that was on it.

    The kernel deletes the VLANs on a VLAN with it: those of ours are made again too. One action and not several steps:
    between them there is no network. ``mac``: None for that of the parent. ``mtu``: None for the one that it had, as
    far as the new parent has that much.
    """

    parent: str
    data: dict[str, Any]
    alias: str
    mtu: int | None = None
    mac: str | None = None

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and link.group == GROUP and tag(link) == self._tag

    def do(self, doors: Doors) -> None:
        door = doors.netlink
        links = door.observe()["links"]
        old, parent = links.get(self.name) or self.present(doors), self.present(doors, self.parent)
        on_it = _stacked(self.name, links)
        foreign = [link.name for link in (old, *on_it) if link.kind != "vlan" or link.group != GROUP]
        if foreign:
            raise Refused(f"{', '.join(foreign)} is not ours and would be deleted", "take it off first")
        _no_twin(self.name, self._tag, links)
        mtu = self.mtu or min(old.mtu, parent.mtu)
        if mtu > parent.mtu:
            raise StepFailed(f"{self.parent} has MTU {parent.mtu}, less than {mtu}", "raise that of the parent first")
        new = msgspec.structs.replace(old, parent=self.parent, data=self.data, alias=self.alias, mtu=mtu, up=True)
        with kept(doors, [self.name, *(link.name for link in on_it)]):
            door.delete_link(self.name)
            try:
                _make(door, new, self.mac)
            except CellError:  # better the old one than none
                door.delete_link(self.name)
                _make(door, old, _own_mac(old, links))
                raise
            finally:
                for link in on_it:
                    _make(door, link, _own_mac(link, links))

    @property
    def _tag(self) -> tuple[str | None, str, int]:
        return self.parent, self.data["vlan_protocol"], self.data["vlan_id"]


def _no_twin(name: str, wanted: tuple[str | None, str, int], links: dict[str, Link]) -> None:
    """Raises Refused when another device is the wanted VLAN."""
    for other in links.values():
        if other.kind == "vlan" and other.name != name and tag(other) == wanted:
            advice = f"delete {other.name}; if it was declared once, `prune: true` does it"
            raise Refused(f"VLAN {wanted[2]} of {wanted[0]} exists as {other.name}", advice)


def _stacked(name: str, links: dict[str, Link]) -> list[Link]:
    """Everything made on top of a link, and on that, from the bottom up."""
    found: list[Link] = []
    names = [name]
    for below in names:  # grows
        upper = [x for x in links.values() if x.parent == below and x.kind not in (None, "veth")]
        found += upper
        names += [x.name for x in upper]
    return found


def _own_mac(link: Link, links: dict[str, Link]) -> str | None:
    """None when it has that of its parent: it is made without one then, and follows the parent again."""
    parent = links.get(link.parent or "")
    return None if parent is not None and parent.mac == link.mac else link.mac


def _make(door: NetlinkDoor, link: Link, mac: str | None) -> None:
    """Make a VLAN device again as it was: mark, IPv6, MTU, place in a bridge with what it is there, addresses."""
    data = {key: link.data[key] for key in ("vlan_id", "vlan_protocol", "vlan_flags") if key in link.data}
    door.create_link(link.name, "vlan", mac=mac, parent=link.parent, data=data)
    door.set_alias(link.name, link.alias or "")
    if link.ipv6_disabled is not None:
        door.disable_ipv6(link.name, link.ipv6_disabled)
    parent = door.link(link.parent or "")
    door.set_link(link.name, mtu=min(link.mtu, parent.mtu) if parent else link.mtu)
    if link.master is not None:
        door.set_link(link.name, master=link.master)
        made = door.link(link.name)
        options = {} if made is None else {k: v for k, v in link.port.items() if made.port.get(k) != v}
        options.pop("brport_state", None)
        if options:
            door.set_port(link.name, **options)
        bridge = door.link(link.master)
        filters = bridge is not None and bridge.data.get("br_vlan_filtering")
        if filters and door.vlans(link.name) != link.vlans:  # the bridge gives a new port its default PVID
            door.set_vlans(link.name, link.vlans)
    if link.up:
        door.set_link(link.name, up=True)
    for cidr in link.addresses:
        door.add_address(link.name, cidr, own=cidr in link.owned_addresses)
