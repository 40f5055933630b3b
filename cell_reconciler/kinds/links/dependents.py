"""Who would miss a link that is to be deleted, beside the links on it: VMs that name it, and addresses of others."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.live import Link, Source


def dependents(message: str, advice: str, waiting: bool = False) -> Refusal:
    return Refusal(reason="ForeignDependents", message=message, advice=advice, waiting=waiting)


def machines_on(world: World, *names: str) -> Iterator[Refusal]:
    """VMs, also those that do not run, with an interface on one of these links. Nobody knows while libvirt is silent.

    A VM of ours that names it either goes too or is about to be changed: that resolves itself.
    """
    if gap := world.live.gap(Source.LIBVIRT):
        yield dependents(f"whether a VM uses {' or '.join(names)} is unknown: {gap.reason}", "", waiting=True)
        return
    users = graph_of(world.live).users
    for name in names:
        if found := sorted(users.bridges.get(name, frozenset()) | users.direct.get(name, frozenset())):
            ours = all(user in users.ours for user in found)
            advice = "" if ours else "change these VMs first"
            yield dependents(f"{', '.join(found)} has an interface on {name}", advice, waiting=ours)


def addresses_on(link: Link) -> Iterator[Refusal]:
    """Addresses that somebody else set."""
    static = [address for address in link.addresses if address not in link.owned_addresses]
    if others := [*static, *link.dynamic_addresses]:
        message = f"{link.name} has {', '.join(others)}, which somebody else set"
        yield dependents(message, "remove the addresses first")
