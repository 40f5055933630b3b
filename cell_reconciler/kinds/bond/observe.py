"""A live bond in the terms of BondSpec."""

from __future__ import annotations

from collections.abc import Iterable

from cell_reconciler.kinds.bond.spec import BondMode, BondSpec
from cell_reconciler.kinds.contract import Observed, World
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
    spec = _spec(link, world.live) if link.kind == "bond" else BondSpec()
    return Observed(key=key, spec=spec, mark=mark_of(link, key), detail=link)


def owned(live: Live) -> Iterable[tuple[str, Mark]]:
    for link in live.links.values():
        mark = mark_of(link, Key("Bond", link.name))
        if link.kind == "bond" and mark is not None:
            yield link.name, mark


def foreign(live: Live) -> Iterable[str]:
    ours = {name for name, _ in owned(live)}
    return (link.name for link in live.links.values() if link.kind == "bond" and link.name not in ours)


def _spec(link: Link, live: Live) -> BondSpec:
    return BondSpec(
        members=tuple(sorted(port.name for port in graph_of(live).ports(link.name))),
        mode=BondMode(link.data["bond_mode"]),
        miimon=link.data.get("bond_miimon", 0),
        primary=link.data.get("bond_primary") or UNSET,
        mtu=link.mtu,
        mac=Mac(link.mac),
    )
