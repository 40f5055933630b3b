"""What only a bond needs done to it."""

from __future__ import annotations

from cell_reconciler.drivers import Doors
from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds.links.actions import LinkAction


class RebuildBond(LinkAction, frozen=True, kw_only=True):
    """Change the mode in place: bond down, members released, mode set, members enslaved again, up.

    The kernel changes the mode of a bond only while it is down and empty. The bond keeps its index, and so what
    stands on it. One action and not several steps: between them there is no network.
    """

    mode: str

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and link.data.get("bond_mode") == self.mode

    def do(self, doors: Doors) -> None:
        door = doors.netlink
        bond = self.present(doors)
        links = door.observe()["links"]
        members = sorted(link.name for link in links.values() if link.master == self.name)
        door.set_link(self.name, up=False)
        try:
            for member in members:
                door.set_link(member, master=None)
            door.set_data(self.name, "bond", bond_mode=self.mode)
        finally:
            # Also when the kernel refused the mode: a bond without members is worse than one in the old mode.
            # The address is set again, because an empty bond takes a random one.
            door.set_link(self.name, mac=bond.mac)
            for member in members:
                if self.present(doors, member).up:
                    door.set_link(member, up=False)
                door.set_link(member, master=self.name)
                door.set_link(member, up=True)
            if bond.up:
                door.set_link(self.name, up=True)


class SetPrimary(LinkAction, frozen=True, kw_only=True):
    """Prefer a member, or none. The kernel answers yes to a link that is no member, and does nothing."""

    primary: str | None

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and link.data.get("bond_primary") == self.primary

    def do(self, doors: Doors) -> None:
        if self.primary is not None and self.present(doors, self.primary).master != self.name:
            raise StepFailed(f"{self.primary} is no member of {self.name}, so it cannot be its primary")
        doors.netlink.set_data(self.name, "bond", bond_primary=self.primary)
