"""A live network interface in the terms of NicSpec."""

from __future__ import annotations

from collections.abc import Iterable

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.graph import TAP_KINDS
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.kinds.nic.spec import AdminState, NicSpec
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import GROUP, Mark

# Links that are no NICs: they have a kind of their own, or belong to a VM.
OTHERS = {"bond": "Bond", "bridge": "Bridge", "vlan": "Vlan"} | dict.fromkeys(TAP_KINDS, "VirtualMachine")


def is_nic(link: Link) -> bool:
    """Hardware, and virtual cards that somebody made (veth, dummy, vxlan …)."""
    return link.kind not in OTHERS and link.name != "lo"


def observe(name: str, world: World) -> Observed | None:
    """None when no link has the name. A link that is no NIC is returned too: the name is taken."""
    link = world.live.links.get(name)
    if link is None:
        return None
    key = Key("Nic", name)
    if not is_nic(link):
        return Observed(key=key, spec=NicSpec(), mark=None, detail=link)
    mark = mark_of(link)
    spec = NicSpec(
        admin_state=AdminState.UP if link.up else AdminState.DOWN,
        mtu=link.mtu,
        **layer3.observed(key, link, mark, world),
    )
    return Observed(key=key, spec=spec, mark=mark, detail=link)


def mark_of(link: Link) -> Mark | None:
    """Our mark. The group alone says nothing here: a NIC without a document is in it while it is a port of ours."""
    mark = Mark.parse(link.alias) if link.group == GROUP else None
    return mark if mark is not None and mark.owner == Key("Nic", link.name) else None


def owned(live: Live) -> Iterable[tuple[str, Mark]]:
    for link in live.links.values():
        if is_nic(link) and (mark := mark_of(link)) is not None:
            yield link.name, mark


def foreign(live: Live) -> Iterable[str]:
    """Hardware that no document of ours is about and that nothing of ours uses."""
    for link in live.links.values():
        master = live.links.get(link.master or "")
        used = master is not None and owner_of(master) is not None
        if link.kind is None and is_nic(link) and link.group != GROUP and not used:
            yield link.name
