"""In which order the VMs of one plan start: a lower ``startOrder`` before a higher one.

It is for the order only. A VM that does not start holds up the others until that is known (two minutes at most, the
deadline of a start), and no longer: what needs it more badly than that has to say so in its guest.
"""

from __future__ import annotations

from cell_reconciler.kinds.contract import World
from cell_reconciler.model.document import Document

_TOKEN = "started:{}"  # noqa: S105  # a token of planning.order, no secret


def token(doc: Document) -> str:
    """What the start of this VM gives."""
    return _TOKEN.format(doc.spec.start_order)


def before(doc: Document, world: World) -> tuple[str, ...]:
    """The tokens of all lower orders that documents name."""
    return tuple(_TOKEN.format(order) for order in _orders(world) if order < doc.spec.start_order)


_last: list[tuple[World, tuple[int, ...]]] = []  # of the world that was asked about last: each of its VMs asks


def _orders(world: World) -> tuple[int, ...]:
    for known, orders in _last:
        if known is world:
            return orders
    found = tuple(
        sorted({doc.spec.start_order for key, doc in world.documents.items() if key.kind == "VirtualMachine"})
    )
    _last[:] = [(world, found)]
    return found
