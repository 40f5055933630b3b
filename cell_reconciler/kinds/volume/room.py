"""Whether a pool may promise one more volume, or a larger one. Pure.

Volumes are thin: they take what was written. What they may take in the end are their sizes, and those of everybody's
images in the pool together are at most its capacity times ``Host.spec.overcommit.disk`` (1 where nothing is said). What
is there is never touched; what comes is admitted by name, and a smaller one after one that does not fit may still fit.
Where the capacity is not known, nothing is claimed.
"""

from __future__ import annotations

from typing import NamedTuple

from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Bytes


class _Pool(NamedTuple):
    """What is promised once everything that fits is there, and who does not fit."""

    used: int
    volumes: int
    refused: dict[str, Refusal]


_last: list[tuple[World, dict[str, _Pool]]] = []  # of the world that was asked about last: each of its volumes asks


def refusal(doc: Document, world: World) -> Refusal | None:
    """Why a volume that is to be made or grown has no room in its pool."""
    if not (_last and _last[0][0] is world):
        _last[:] = [(world, {})]
    pools, name = _last[0][1], doc.spec.pool
    if name not in pools:
        pools[name] = _admitted(name, world)
    return pools[name].refused.get(doc.key.name)


def _admitted(pool: str, world: World) -> _Pool:
    found = world.live.pools.get(pool)
    images = {image.name: image for image in world.live.images.values() if image.pool == pool}
    used, count = sum(image.size for image in images.values()), len(images)
    refused: dict[str, Refusal] = {}
    if found is None or found.capacity is None:
        return _Pool(used, count, refused)
    most = int(found.capacity * world.overcommit.disk)
    for doc in sorted(_declared(pool, world), key=lambda doc: doc.key.name):
        image = images.get(doc.key.name)
        if image is not None and not doc.adopts and Mark.parse(image.mark) is None:
            continue  # somebody else's
        more = int(doc.spec.size) - (image.size if image is not None else 0)
        if more <= 0:
            continue
        if used + more > most:
            refused[doc.key.name] = _said(doc, more, used, count, most, found.capacity, world)
        else:
            used, count = used + more, count + (image is None)
    return _Pool(used, count, refused)


def _declared(pool: str, world: World) -> list[Document]:
    return [doc for key, doc in world.documents.items() if key.kind == "Volume" and doc.spec.pool == pool]


def _said(doc: Document, more: int, used: int, count: int, most: int, capacity: int, world: World) -> Refusal:
    ratio = -(-(used + more) * 10 // capacity) / 10
    return Refusal(
        reason="NoRoom",
        message=f"volume {doc.key.name} needs {_size(more)} more; {count} volumes of {doc.spec.pool} have "
        f"{_size(used)} of the {_size(most)} that its {_size(capacity)} may promise ({world.overcommit.disk:g} times)",
        advice=f"make it smaller, take volumes away, or allow it in Host/{world.host}: overcommit.disk {ratio:g}",
    )


def _size(count: int) -> str:
    """For people: whole MiB."""
    return Bytes(count // 2**20 * 2**20).to_text()
