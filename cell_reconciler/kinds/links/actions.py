"""What one can do to a link. Each action reads before it writes, so it can be repeated after a crash at any point."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.errors import Refused, StepFailed, Transient
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP


class LinkAction(msgspec.Struct, frozen=True, kw_only=True):
    """Base: an action on the link of this name."""

    name: str

    def link(self, doors: Doors) -> Link | None:
        return doors.netlink.link(self.name)

    def present(self, doors: Doors, name: str | None = None) -> Link:
        """Raises StepFailed when the link is gone."""
        link = doors.netlink.link(name or self.name)
        if link is None:
            raise StepFailed(f"there is no link {name or self.name}", "plug it in, or correct the name")
        return link


class CreateLink(LinkAction, frozen=True, kw_only=True):
    """Make a link that is ours, down, with a MAC of its own that no port changes (IFLA_ADDRESS at creation pins it)."""

    kind: str
    alias: str
    mac: str | None = None
    mac_of: str | None = None  # take that link's address, which may not exist yet when the plan is made
    parent: str | None = None
    pin_mtu: int | None = None
    ipv6: bool = True
    adopt: bool = False  # take over one that somebody else made
    data: dict[str, Any] = {}

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and (link.kind, link.group, link.alias) == (self.kind, GROUP, self.alias)

    def do(self, doors: Doors) -> None:
        door = doors.netlink
        if self.link(doors) is None:
            mac = self.present(doors, self.mac_of).mac if self.mac_of else self.mac
            door.create_link(self.name, self.kind, mac=mac, parent=self.parent, data=self.data)
        link = self.present(doors)
        if self.adopt and link.group == 0:
            door.set_link(self.name, group=GROUP)
        elif link.group != GROUP or link.kind != self.kind:
            raise Refused(f"{self.name} has been made by somebody else", "annotate the document with cell/adopt")
        if not self.ipv6 and link.ipv6_disabled is False:
            door.disable_ipv6(self.name)
        if self.pin_mtu is not None:
            # A bridge keeps its MTU when a smaller port comes only if the MTU was really changed once by hand.
            door.set_link(self.name, mtu=self.pin_mtu - 1 if self.pin_mtu > 68 else self.pin_mtu + 1)
            door.set_link(self.name, mtu=self.pin_mtu)
        door.set_alias(self.name, self.alias)  # last: a creation that was cut short is seen by its missing alias


class SetMark(LinkAction, frozen=True, kw_only=True):
    """Write group and alias: adoption, a new digest. An empty alias gives the link up."""

    alias: str

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and (link.group, link.alias or "") == (self._group, self.alias)

    def do(self, doors: Doors) -> None:
        if self.present(doors).group != self._group:
            doors.netlink.set_link(self.name, group=self._group)
        doors.netlink.set_alias(self.name, self.alias)

    @property
    def _group(self) -> int:
        return GROUP if self.alias else 0


class SetLink(LinkAction, frozen=True, kw_only=True):
    """Up or down, MTU, MAC: what every link has."""

    up: bool | None = None
    mtu: int | None = None
    mac: str | None = None

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and all(
            want in (None, have) for want, have in ((self.up, link.up), (self.mtu, link.mtu), (self.mac, link.mac))
        )

    def do(self, doors: Doors) -> None:
        doors.netlink.set_link(self.name, up=self.up, mtu=self.mtu, mac=self.mac)


class SetData(LinkAction, frozen=True, kw_only=True):
    """Options of a kind, by the kernel's names: ``{"bond_miimon": 100}``."""

    kind: str
    data: dict[str, Any]

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and all(link.data.get(key) == value for key, value in self.data.items())

    def do(self, doors: Doors) -> None:
        doors.netlink.set_data(self.name, self.kind, **self.data)


class Attach(LinkAction, frozen=True, kw_only=True):
    """Make the link a port of ``master`` and bring it up.

    ``own``: also put it into our group in the same request, so that it is known as a port that *we* attached.
    ``take_from``: the master that it may be taken from.
    """

    master: str
    to_bond: bool = False
    own: bool = False
    take_from: str | None = None

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and link.master == self.master and link.up

    def do(self, doors: Doors) -> None:
        link = self.present(doors)
        if link.master not in (None, self.master, self.take_from):
            raise Transient(f"{self.name} is still a port of {link.master}", f"take it off {link.master} first")
        if link.master != self.master:
            if link.master is not None:
                doors.netlink.set_link(self.name, master=None)
            if self.to_bond and link.up:  # bond_enslave: "Device can not be enslaved while up"
                doors.netlink.set_link(self.name, up=False)
            doors.netlink.set_link(self.name, master=self.master, group=self._group(link))
        doors.netlink.set_link(self.name, up=True)

    def _group(self, link: Link) -> int | None:
        if self.own:
            return GROUP if link.group == 0 else None
        return 0 if self.take_from and link.group == GROUP and not link.alias else None


class Release(LinkAction, frozen=True, kw_only=True):
    """Take the link off ``master`` and bring it up: a bond leaves its former members down."""

    master: str
    disown: bool = False

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is None or link.master != self.master

    def do(self, doors: Doors) -> None:
        link = self.link(doors)
        if link is not None and link.master == self.master:
            group = 0 if self.disown and link.group == GROUP and not link.alias else None
            doors.netlink.set_link(self.name, master=None, group=group)
            doors.netlink.set_link(self.name, up=True)


class DeleteLink(LinkAction, frozen=True, kw_only=True):
    """Delete a link of ours. Looks once more at what stands on it: the kernel would delete or cut that off too.

    ``port_of``: the only master that it may have.
    """

    port_of: str | None = None

    def done(self, doors: Doors) -> bool:
        return self.link(doors) is None

    def do(self, doors: Doors) -> None:
        links = doors.netlink.observe()["links"].values()
        link = next((link for link in links if link.name == self.name), None)
        if link is None:
            return
        if link.group != GROUP:
            raise Refused(f"{self.name} is not ours", "somebody else has made a link of this name meanwhile")
        on_it = [x.name for x in links if x.master == self.name]
        on_it += [x.name for x in links if x.parent == self.name and x.kind != "veth"]
        if link.master and link.master != self.port_of:
            on_it.append(link.master)
        if on_it:
            raise Refused(f"{', '.join(on_it)} still uses {self.name}", f"take it off {self.name} first")
        doors.netlink.delete_link(self.name)


class AddAddress(LinkAction, frozen=True, kw_only=True):
    """Add an address of the host."""

    cidr: str

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and self.cidr in link.addresses

    def do(self, doors: Doors) -> None:
        if ipaddress.ip_interface(self.cidr).version == 6 and self.present(doors).ipv6_disabled:
            doors.netlink.disable_ipv6(self.name, False)
        doors.netlink.add_address(self.name, self.cidr)


class DeleteAddress(LinkAction, frozen=True, kw_only=True):
    """Remove an address of the host."""

    cidr: str

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is None or self.cidr not in link.addresses

    def do(self, doors: Doors) -> None:
        doors.netlink.delete_address(self.name, self.cidr)
