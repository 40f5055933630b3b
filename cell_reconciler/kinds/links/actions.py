"""What one can do to a link. Each action reads before it writes, so it can be repeated after a crash at any point."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink.routes import has_gateway
from cell_reconciler.errors import Refused, StepFailed, Transient
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP

_LEAST, _IPV6_LEAST = 68, 1280  # ETH_MIN_MTU, IPV6_MIN_MTU


def beside(mtu: int) -> int:
    """Another MTU. A bridge keeps its own when a smaller port comes only after it was really changed once by hand
    (BROPT_MTU_SET_BY_USER); the one it was created with, or the same again, does not count. Below 1280 bytes a link
    loses its IPv6, addresses and settings."""
    return mtu + 1 if mtu in (_LEAST, _IPV6_LEAST) else mtu - 1


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
    """Make a link that is ours, with a MAC of its own that no port changes (IFLA_ADDRESS at creation pins it).

    Two requests, so that ten thousand links take no longer than they must: one that makes it, down, and one that
    gives it the rest. IPv6 is switched off between them: what is up has a link-local address already.
    """

    kind: str
    alias: str
    mac: str | None = None
    mac_of: str | None = None  # take that link's address, which may not exist yet when the plan is made
    parent: str | None = None
    master: str | None = None  # make it a port of that link, which exists
    mtu: int | None = None
    pin_mtu: int | None = None  # of a bridge: an MTU that no port changes
    up: bool = False
    ipv6: bool = True
    adopt: bool = False  # take over one that somebody else made
    data: dict[str, Any] = {}

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        if link is None or (link.kind, link.group, link.alias) != (self.kind, GROUP, self.alias):
            return False
        return link.master == (self.master or link.master) and (link.up or not self.up)

    def do(self, doors: Doors) -> None:
        door = doors.netlink
        link = self.link(doors)
        unpinned = None if self.pin_mtu is None else beside(self.pin_mtu)
        if link is None:
            mac = self.present(doors, self.mac_of).mac if self.mac_of else self.mac
            mtu, parent, master = unpinned or self.mtu, self.parent, self.master
            door.create_link(self.name, self.kind, mac=mac, parent=parent, master=master, mtu=mtu, data=self.data)
        else:
            self._take_up(link, doors)
            if unpinned is not None:
                door.set_link(self.name, mtu=unpinned)
        if not self.ipv6 and (link is None or link.ipv6_disabled is False):
            door.disable_ipv6(self.name)
        # The alias comes last: a creation that was cut short is seen by its missing alias.
        door.set_link(self.name, mtu=self.pin_mtu, alias=self.alias, up=self.up or None)

    def _take_up(self, link: Link, doors: Doors) -> None:
        """It is there already: a creation of ours that was cut short, or what is to be adopted."""
        if self.adopt and link.group == 0:
            doors.netlink.set_link(self.name, group=GROUP)
        elif link.group != GROUP or link.kind != self.kind:
            raise Refused(f"{self.name} has been made by somebody else", "annotate the document with cell/adopt")
        if self.master is not None and link.master is None:
            doors.netlink.set_link(self.name, master=self.master)


class SetMark(LinkAction, frozen=True, kw_only=True):
    """Write group and alias: adoption, a new digest. An empty alias gives the link up.

    ``pin_mtu``: see to it as well that no port changes the MTU of this bridge. The kernel does not tell whether it is
    pinned, so the alias says so: with this digest, it was.
    """

    alias: str
    pin_mtu: int | None = None

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        if link is None or self.pin_mtu not in (None, link.mtu):
            return False
        return (link.group, link.alias or "") == (self._group, self.alias)

    def do(self, doors: Doors) -> None:
        if self.present(doors).group != self._group:
            doors.netlink.set_link(self.name, group=self._group)
        if self.pin_mtu is not None:
            doors.netlink.set_link(self.name, mtu=beside(self.pin_mtu))
            doors.netlink.set_link(self.name, mtu=self.pin_mtu)
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
    """Take the link off ``master`` and bring it up: a bond leaves its former members down.

    ``mtu``: what it has from then on; a bond gives its former members back the one that they came with.

    ``silent``: turn its IPv6 off, because it has the address that the master keeps: the frames that the kernel sends
    when IPv6 begins on a link would make the switch look for the master here.
    """

    master: str
    disown: bool = False
    up: bool = True
    mtu: int | None = None
    silent: bool = False

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is None or link.master != self.master

    def do(self, doors: Doors) -> None:
        link = self.link(doors)
        if link is not None and link.master == self.master:
            group = 0 if self.disown and link.group == GROUP and not link.alias else None
            if self.silent and not link.ipv6_disabled:
                doors.netlink.disable_ipv6(self.name)
            doors.netlink.set_link(self.name, master=None, group=group)
            if self.up or self.mtu is not None:
                doors.netlink.set_link(self.name, mtu=self.mtu, up=self.up or None)


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
    """Add an address of the host.

    ``check`` False: another link has it (or had it a moment ago), so nobody is asked whether it is free.
    """

    cidr: str
    check: bool = True

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and self.cidr in link.addresses

    def do(self, doors: Doors) -> None:
        if ipaddress.ip_interface(self.cidr).version == 6 and self.present(doors).ipv6_disabled:
            doors.netlink.disable_ipv6(self.name, False)
        doors.netlink.add_address(self.name, self.cidr, check=self.check)


class DeleteAddress(LinkAction, frozen=True, kw_only=True):
    """Remove an address of the host.

    With the last IPv4 address of a link the kernel forgets all its IPv4 routes, whoever set them and whether or not
    they need an address (fib_disable_ip): those that go on working without it are put back.
    """

    cidr: str

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is None or self.cidr not in link.addresses

    def do(self, doors: Doors) -> None:
        door = doors.netlink
        six = ipaddress.ip_interface(self.cidr).version == 6
        routes = [] if six else sorted(door.carried(self.name), key=has_gateway)
        door.delete_address(self.name, self.cidr)
        left = door.carried(self.name) if routes else ()
        for route in routes:
            if route not in left:
                with contextlib.suppress(StepFailed):  # it led by this address, or sent from it
                    door.add_route(route)
