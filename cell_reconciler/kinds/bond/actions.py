"""What only a bond needs done to it."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError, StepFailed
from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.kinds.bond.options import FIELDS, counts, same
from cell_reconciler.kinds.links.actions import CreateLink, LinkAction, Release
from cell_reconciler.kinds.links.layer3 import kept
from cell_reconciler.model.live import Link

LINK_UP = 20  # seconds that a link may take to come up: 10GBASE-T negotiates for up to 8


def usable(member: Link | None, bond: str) -> bool:
    """Would the kernel make this member the active one (bond_option_active_slave_set)?"""
    if member is None or member.master != bond:
        return False
    return member.up and member.carrier and member.port.get("bond_slave_mii_status", "up") == "up"


def addresses(bond: str, doors: Doors) -> dict[str, set[str]]:
    """The addresses that the host has on a bond, by the link that carries their frames: the bond, and VLANs on it."""
    links = doors.netlink.observe()["links"]
    carriers = [bond]
    for below in carriers:  # grows: VLANs on VLANs
        carriers += [link.name for link in links.values() if link.kind == "vlan" and link.parent == below and link.up]
    found = {}
    for name in carriers:
        upper = links.get(links[name].master or "")
        found[name] = {links[name].mac} | ({upper.mac} if upper is not None else set())
    return found


def fails_over_by_mac(bond: Link) -> str | None:
    """``active`` or ``follow`` where the kernel says yes to another address and does nothing (bond_set_mac_address)."""
    policy = bond.data.get("bond_fail_over_mac", "none")
    return policy if bond.data.get("bond_mode") == BondMode.ACTIVE_BACKUP and policy != "none" else None


class CreateBond(CreateLink, frozen=True, kw_only=True):
    """Make a bond with its options. The kernel ignores options that it does not know, so they are read back."""

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return super().done(doors) and link is not None and same(link.data, self.data)

    def do(self, doors: Doors) -> None:
        super().do(doors)
        link = self.present(doors)
        unknown = [option for option, value in self.data.items() if value != [] and option not in link.data]
        if unknown:
            words = ", ".join(option.removeprefix("bond_") for option in unknown)
            raise StepFailed(
                f"the running kernel's bonding driver has no {words}", "leave it out, or update the kernel"
            )


class ReleaseMember(Release, frozen=True, kw_only=True):
    """Take a member out of a bond that stays, and bring it up.

    ``hand_over``: the bond goes on with the others; raises StepFailed when none of them is usable in time. The kernel
    lets a member go before it looks for another active one, so another one becomes active first, and the switch is
    told. A member that has just come may still be negotiating its speed: it is waited for.
    """

    hand_over: bool = False

    def do(self, doors: Doors) -> None:
        bond, leaving = doors.netlink.link(self.master), self.link(doors)
        if self.hand_over and bond is not None and bond.up and usable(leaving, self.master):
            best = self._best(bond, doors)
            if bond.data.get("bond_active_slave") == self.name:
                doors.netlink.set_active(self.master, best.name, addresses(self.master, doors))
        super().do(doors)

    def _best(self, bond: Link, doors: Doors) -> Link:
        """The member that the kernel would choose (bond_find_best_slave): the primary, the highest prio, any."""
        deadline = time.monotonic() + LINK_UP
        while True:
            links = doors.netlink.observe()["links"].values()
            others = [link for link in links if link.name != self.name and usable(link, self.master)]
            if others:
                preferred = bond.data.get("bond_primary")
                return max(others, key=lambda x: (x.name == preferred, x.port.get("bond_slave_prio", 0)))
            if time.monotonic() > deadline:
                raise StepFailed(
                    f"no other member of {self.master} is up after {LINK_UP} s: without {self.name} it has no network",
                    "look at the cables of the other members",
                )
            time.sleep(0.1)


class SetOptions(LinkAction, frozen=True, kw_only=True):
    """Options that the kernel changes while the bond works, in one request."""

    data: dict[str, Any]

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and same(link.data, self.data)

    def do(self, doors: Doors) -> None:
        doors.netlink.set_data(self.name, "bond", **self.data)


class ReconfigureBond(LinkAction, frozen=True, kw_only=True):
    """Change what the kernel changes only of a bond that is down (``downs``) or has no members (``empties``).

    Down, members released, options set, members enslaved again, up. The bond keeps its index and its address, and so
    what stands on it; what the kernel forgets of layer 3 meanwhile is put back. One action and not several steps:
    between them there is no network.
    """

    data: dict[str, Any]
    before: dict[str, Any] = {}  # set in the old mode, when the bond is down and empty already
    downs: bool = False
    empties: bool = False
    mac: str | None = None  # another address than it has

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and same(link.data, self.data) and self.mac in (None, link.mac)

    def do(self, doors: Doors) -> None:
        bond = self.present(doors)
        down = self.downs and bond.up
        with kept(doors, [self.name]) if down else contextlib.nullcontext():
            if down:
                doors.netlink.set_link(self.name, up=False)
            try:
                if self.empties:
                    self._emptied(bond, doors)
                else:
                    doors.netlink.set_data(self.name, "bond", **self.data)
            finally:
                if down:
                    doors.netlink.set_link(self.name, up=True)

    def _emptied(self, bond: Link, doors: Doors) -> None:
        door = doors.netlink
        links = door.observe()["links"].values()
        members = sorted((link for link in links if link.master == self.name), key=lambda link: link.name)
        try:
            for member in members:
                door.set_link(member.name, master=None)
            if self.before:
                door.set_data(self.name, "bond", **self.before)
            door.set_data(self.name, "bond", **self.data)
        finally:
            # Also when the kernel refused: a bond without members is worse than one with the old options. Its address
            # is set again, because an empty bond takes a random one.
            self._set_mac(self.mac or bond.mac, doors)
            errors = [error for member in members if (error := self._back(member, doors)) is not None]
        if errors:
            raise errors[0]

    def _set_mac(self, mac: str, doors: Doors) -> None:
        """With fail_over_mac the kernel says yes and does nothing; with ``active`` the first member decides anyway."""
        bond = self.present(doors)
        policy = fails_over_by_mac(bond)
        if bond.mac == mac or policy == "active":
            return
        if policy is not None:
            doors.netlink.set_data(self.name, "bond", bond_fail_over_mac="none")
        doors.netlink.set_link(self.name, mac=mac)
        if policy is not None:
            doors.netlink.set_data(self.name, "bond", bond_fail_over_mac=policy)

    def _back(self, was: Link, doors: Doors) -> CellError | None:
        """A member comes back with the numbers that it had; one that cannot does not keep out the others."""
        door, mode = doors.netlink, BondMode(self.present(doors).data["bond_mode"])
        numbers = {FIELDS[name].extra["netlink"] for name in ("prio", "queue_id") if counts(name, mode)}
        try:
            if self.present(doors, was.name).up:
                door.set_link(was.name, up=False)
            door.set_link(was.name, master=self.name)
            door.set_link(was.name, up=True)
            if had := {option: was.port[option] for option in sorted(numbers) if was.port.get(option)}:
                door.set_member(was.name, **had)
        except CellError as error:
            return error
        return None


class SetPrimary(LinkAction, frozen=True, kw_only=True):
    """Prefer a member, or none. The kernel answers yes to a link that is no member, and only takes a note."""

    primary: str | None

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and link.data.get("bond_primary") == self.primary

    def do(self, doors: Doors) -> None:
        if self.primary is not None and self.present(doors, self.primary).master != self.name:
            raise StepFailed(f"{self.primary} is no member of {self.name}, so it cannot be its primary")
        doors.netlink.set_data(self.name, "bond", bond_primary=self.primary)


class SetActive(LinkAction, frozen=True, kw_only=True):
    """Make a member the active one, if it could be: one whose link is down is nothing that can be put right here."""

    member: str

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        if link is None:
            return False
        return link.data.get("bond_active_slave") == self.member or not usable(
            doors.netlink.link(self.member), self.name
        )

    def do(self, doors: Doors) -> None:
        doors.netlink.set_active(self.name, self.member, addresses(self.name, doors))


class SetNumbers(LinkAction, frozen=True, kw_only=True):
    """A number of members, 0 for those that are not named: ``bond_slave_prio`` or ``bond_slave_queue_id``."""

    option: str
    numbers: dict[str, int]

    def done(self, doors: Doors) -> bool:
        return not self._differ(doors)

    def do(self, doors: Doors) -> None:
        differ = self._differ(doors)
        if any(self.option not in member.port for member in differ):
            raise StepFailed(f"the running kernel's bonding driver has no {self.option.removeprefix('bond_slave_')}")
        for member in differ:
            if (
                member.port[self.option] and self.option == "bond_slave_queue_id"
            ):  # no two have one queue, not for a moment
                doors.netlink.set_member(member.name, **{self.option: 0})
        for member in differ:
            doors.netlink.set_member(member.name, **{self.option: self.numbers.get(member.name, 0)})

    def _differ(self, doors: Doors) -> list[Link]:
        links = doors.netlink.observe()["links"].values()
        members = [link for link in links if link.master == self.name]
        return [m for m in members if m.port.get(self.option, 0) != self.numbers.get(m.name, 0)]
