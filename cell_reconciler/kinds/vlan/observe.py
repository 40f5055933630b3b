"""A live VLAN device in the terms of VlanSpec."""

from __future__ import annotations

from collections.abc import Iterable

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.kinds.vlan.spec import VlanProtocol, VlanSpec
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import GROUP, Mark
from cell_reconciler.model.quantities import Mac

REORDER_HEADER, GVRP, LOOSE_BINDING = 0x1, 0x2, 0x4  # enum vlan_flags of the kernel's if_vlan.h
KINDS = {"bond": "Bond", "bridge": "Bridge", "vlan": "Vlan"}  # links that a VLAN can be on, and whose they may be

Tag = tuple[str | None, str, int]  # parent, protocol, number: there is one device of each


def observe(name: str, world: World) -> Observed | None:
    """None when no link has the name. A link of another kind is returned too: the name is taken."""
    link = world.live.links.get(name)
    if link is None:
        return None
    key = Key("Vlan", name)
    if link.kind != "vlan":
        return Observed(key=key, spec=VlanSpec(parent="", id=0), mark=None, detail=link)
    mark = mark_of(link, world)
    parent, protocol, number = tag(link)
    flags = flags_of(link)
    spec = VlanSpec(
        parent=parent or "",
        id=number,
        protocol=VlanProtocol(protocol),
        mtu=link.mtu,
        mac=Mac(link.mac),
        reorder_header=bool(flags & REORDER_HEADER),
        gvrp=bool(flags & GVRP),
        loose_binding=bool(flags & LOOSE_BINDING),
        **layer3.observed(key, link, mark, world),
    )
    below = world.live.links.get(parent or "")
    kind = KINDS.get(below.kind or "") if below else None
    refs = frozenset({Key(kind, below.name)}) if below and kind else frozenset()
    return Observed(key=key, spec=spec, mark=mark, refs=refs, detail=link)


def tag(link: Link) -> Tag:
    """What makes a VLAN device the one it is."""
    return link.parent, link.data.get("vlan_protocol", VlanProtocol.CUSTOMER.value), link.data.get("vlan_id", 0)


def flags_of(link: Link) -> int:
    return int(link.data.get("vlan_flags", 0))


def mark_of(link: Link, world: World) -> Mark | None:
    """Our mark. Without an alias it is a creation that was cut short only if it is declared and has no place yet.

    A VLAN device of somebody else is in our group too while it is the uplink of a bridge of ours.
    """
    key = Key("Vlan", link.name)
    if link.group != GROUP:
        return None
    if not link.alias:
        return Mark(key, "") if key in world.documents and link.master is None else None
    mark = Mark.parse(link.alias)
    return mark if mark is not None and mark.owner == key else None


def owned(live: Live) -> Iterable[tuple[str, Mark]]:
    """Only what says so itself: the group alone may come from being the uplink of a bridge."""
    for link in live.links.values():
        if link.kind == "vlan" and owner_of(link) == Key("Vlan", link.name):
            mark = Mark.parse(link.alias)
            if mark is not None:
                yield link.name, mark


def foreign(live: Live) -> Iterable[str]:
    """Those that somebody else made, and not as the VLAN device of an access bridge of ours."""
    return (x.name for x in live.links.values() if x.kind == "vlan" and owner_of(x) is None)
