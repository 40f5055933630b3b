"""What only a NIC needs done to it."""

from __future__ import annotations

from cell_reconciler.drivers import Doors
from cell_reconciler.kinds.links.actions import LinkAction
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP


class TakeDown(LinkAction, frozen=True, kw_only=True):
    """Take a NIC down. The kernel forgets its IPv6 addresses then, whoever set them: they are put back."""

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and not link.up

    def do(self, doors: Doors) -> None:
        door = doors.netlink
        addresses = door.ipv6_addresses(self.name)
        door.set_link(self.name, up=False)
        for message in addresses:
            door.return_address(self.name, message)


class GiveUpNic(LinkAction, frozen=True, kw_only=True):
    """Take our mark off. The group stays while the NIC is a port of a bridge of ours: it says who attached it."""

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is None or (not link.alias and link.group == self._group(link, doors))

    def do(self, doors: Doors) -> None:
        link = self.present(doors)
        if link.group != (group := self._group(link, doors)):
            doors.netlink.set_link(self.name, group=group)
        doors.netlink.set_alias(self.name, "")

    def _group(self, link: Link, doors: Doors) -> int:
        master = doors.netlink.link(link.master) if link.master else None
        ours = master is not None and master.kind == "bridge" and master.group == GROUP
        return GROUP if ours else 0 if link.group == GROUP else link.group
