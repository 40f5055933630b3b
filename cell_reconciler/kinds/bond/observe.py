"""A live bond in the terms of BondSpec."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.kinds.bond.options import counts, observed
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import mark_of
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Mac


def observe(name: str, world: World) -> Observed | None:
    """None when no link has the name. A link of another kind is returned too: the name is taken."""
    link = world.live.links.get(name)
    if link is None:
        return None
    key = Key("Bond", name)
    mark = mark_of(link, key)
    spec = _spec(key, link, mark, world) if link.kind == "bond" else BondSpec()
    return Observed(key=key, spec=spec, mark=mark, detail=link)


def owned(live: Live) -> Iterable[tuple[str, Mark]]:
    for link in live.links.values():
        if link.kind == "bond" and (mark := mark_of(link, Key("Bond", link.name))) is not None:
            yield link.name, mark


def foreign(live: Live) -> Iterable[str]:
    ours = {name for name, _ in owned(live)}
    return (link.name for link in live.links.values() if link.kind == "bond" and link.name not in ours)


def _spec(key: Key, link: Link, mark: Mark | None, world: World) -> BondSpec:
    mode = BondMode(link.data["bond_mode"])
    members = sorted(graph_of(world.live).ports(link.name), key=lambda port: port.name)
    # Which member is active moves by itself: it is a field only where a document says which it should be.
    doc = world.documents.get(key)
    asked = doc is not None and doc.spec.active_slave is not UNSET
    return BondSpec(
        members=tuple(port.name for port in members),
        mode=mode,
        primary=link.data.get("bond_primary") or UNSET,
        active_slave=(link.data.get("bond_active_slave") or UNSET) if asked else UNSET,
        prio=_numbers(members, "bond_slave_prio") if counts("prio", mode) else UNSET,
        queue_id=_numbers(members, "bond_slave_queue_id"),
        mtu=link.mtu,
        mac=Mac(link.mac),
        **observed(link),
        **layer3.observed(key, link, mark, world),
    )


def _numbers(members: Iterable[Link], option: str) -> Any:
    """Those that are not 0, which is what a member has when nobody says anything."""
    return {port.name: number for port in members if (number := port.port.get(option, 0))} or UNSET
