"""May this NIC become a member of this bond, and what has to happen before?"""

from __future__ import annotations

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.cards import mismatch
from cell_reconciler.kinds.links.graph import graph_of, host_addresses
from cell_reconciler.kinds.links.layer3_world import claims_of
from cell_reconciler.kinds.links.managers import managed
from cell_reconciler.kinds.links.marks import mark_of
from cell_reconciler.model.change import Refusal, Risk
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import RTPROT

_MASTERS = {"bond": "Bond", "bridge": "Bridge"}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """``waits``: another resource of ours lets it go first. ``take_from``: taken straight from that bridge."""

    name: str
    refusal: Refusal | None = None
    waits: bool = False
    take_from: str | None = None
    harm: tuple[Risk, str] = (Risk.NONE, "")


def member(nic: str, bond: Key, world: World) -> Member:
    """The answer for one NIC that is not a member yet."""
    link = world.live.links.get(nic)
    if link is None:
        return _no(
            nic, "NicMissing", f"{nic}, a member of {bond.name}, is not there", "plug it in, or correct the name"
        )
    if link.kind in ("bond", "bridge", "vlan"):
        return _no(nic, "Conflict", f"{nic} is a {link.kind}, which cannot be a member of a bond")
    if refusal := mismatch(nic, world) or managed(nic, world, f"a member of {bond.name}"):
        return Member(name=nic, refusal=refusal)
    if used := _in_use(link, bond, world):
        return used
    if link.master is None or link.master == bond.name:
        return Member(name=nic)
    return _held(link, bond, world)


def _in_use(link: Link, bond: Key, world: World) -> Member | None:
    """The NIC carries something that would be cut off."""
    nic = link.name
    if addresses := host_addresses(link):
        text = f"{nic} has {', '.join(addresses)}: as a member of {bond.name} it would be cut off"
        return _no(nic, "Conflict", text, f"move the address to a bridge on {bond.name}, or remove it from {nic}")
    if routes := [r.to for r in claims_of(world).through.get(nic, ()) if r.protocol != RTPROT]:
        text = f"{nic} leads to {', '.join(routes)}: as a member of {bond.name} it has no routes"
        return _no(nic, "Conflict", text, f"move the routes to {bond.name} or to a bridge on it, or remove them")
    if uppers := graph_of(world.live).stacked(nic):
        names = ", ".join(upper.name for upper in uppers)
        return _no(
            nic, "Conflict", f"{names} stands on {nic}, which {bond.name} would take", f"move {names} to {bond.name}"
        )
    return None


def _held(link: Link, bond: Key, world: World) -> Member:
    """The NIC is a port of something else: ours and about to let it go, or a conflict."""
    nic, master = link.name, world.live.links.get(link.master or "")
    kind = _MASTERS.get(master.kind or "") if master else None
    if master is None or kind is None or mark_of(master, Key(kind, master.name)) is None:
        owner = f"{link.master} ({master.kind})" if master else str(link.master)
        text = f"{nic} belongs to {owner}, which somebody else made"
        return _no(nic, "Conflict", text, f"take it off {link.master} first")
    doc = world.declared(kind, master.name)
    if kind == "Bond":
        if doc is not None and nic in doc.spec.members:
            return _no(nic, "Conflict", f"{nic} is a member of Bond/{master.name}", "a NIC is in one bond at most")
        return Member(name=nic, waits=True)
    if doc is not None and doc.spec.uplink == nic:
        return _no(nic, "Conflict", f"{nic} is the uplink of Bridge/{master.name}", "name the bond as the uplink")
    if doc is not None and doc.spec.uplink == bond.name:
        # The bridge waits for the bond, so the bond must not wait for the bridge.
        return Member(name=nic, take_from=master.name, harm=graph_of(world.live).cut(master.name))
    return Member(name=nic, waits=True)


def _no(nic: str, reason: str, message: str, advice: str = "") -> Member:
    return Member(name=nic, refusal=Refusal(reason=reason, message=message, advice=advice))
