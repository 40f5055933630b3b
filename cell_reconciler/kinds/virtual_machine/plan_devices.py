"""What speaks against giving a VM the devices and huge pages that its document asks for, when it is planned."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import choice, differ, guard, hugepages
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.live import Domain

_NAMED = re.compile(r"spec\.(?:hostDevices|interfaces)\[([^]]+)\]")


def refusals(
    name: str,
    want: VirtualMachineSpec,
    world: World,
    *,
    starts: bool,
    only: Collection[str] | None = None,
    ours: int = 0,
) -> Iterator[Refusal]:
    """``starts``: it is started in this plan. ``only``: the devices that come; None: all. ``ours``: bytes of huge pages
    that it has now and gives back before."""
    if world.live.devices is None:
        return  # nobody asked for them: the document needs none
    yield from (refusal for refusal in choice.missing(name, want, world))
    chosen = choice.chosen(name, world)
    yield from guard.objections(name, want, chosen, world.live, world.documents, only)
    short = hugepages.shortage(name, want, world.live.devices, ours) if starts else None
    if short is not None:
        yield short


def changed(found: differ.Differences, domain: Domain, world: World, *, starts: bool) -> Iterator[Refusal]:
    """Of a VM that is there: everything when it is started, else what comes or changes."""
    coming = {match[1] for path in (*found.define, *found.live) if (match := _NAMED.match(path))}
    if starts or coming:
        ours = hugepages.held(domain, found.want)
        yield from refusals(domain.name, found.want, world, starts=starts, only=None if starts else coming, ours=ours)
