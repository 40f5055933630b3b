"""Whether a pool may promise one more volume, or a larger one.

Volumes are thin: they take what was written. What they may take in the end are their sizes, and those of everybody's
images in the pool together are at most its capacity times ``Host.spec.overcommit.disk`` (1 where nothing is said). What
is there is never touched; what comes is admitted by name, and a smaller one after one that does not fit may still fit.
Where the capacity is not known, nothing is claimed.

``refusal`` is planning's question, and pure. ``Room`` asks once more when a volume is made or grown: what was planned
may be minutes old, and other hosts share the pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.errors import Transient
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Bytes
from cell_reconciler.model.storage import PoolTarget


class Room(msgspec.Struct, frozen=True):
    """What this host may promise of a pool, as its document says."""

    host: str
    allowed: float  # times the pool's capacity

    @contextmanager
    def entered(self, doors: Doors, target: PoolTarget, name: str, size: int) -> Iterator[None]:
        """Within it, the volume may come to ``size`` bytes. Raises Transient when there is no room, and Unreachable."""

        def check(sizes: Mapping[str, int], capacity: int | None) -> None:
            more = size - sizes.get(name, 0)
            if found := self.objection(name, more, _Promise(sum(sizes.values()), len(sizes)), target.name, capacity):
                raise Transient(found.message, found.advice)

        with doors.promised(target).entered(name, size, check):
            yield

    def objection(self, name: str, more: int, now: _Promise, pool: str, capacity: int | None) -> _Objection | None:
        """Why there is no room for ``more`` bytes beside what is promised ``now``; None when there is."""
        if capacity is None or more <= 0 or now.bytes + more <= int(capacity * self.allowed):
            return None
        ratio = -(-(now.bytes + more) * 10 // capacity) / 10 if capacity else 0
        return _Objection(
            f"volume {name} needs {_size(more)} more; {now.volumes} volumes of {pool} have {_size(now.bytes)} of the "
            f"{_size(int(capacity * self.allowed))} that its {_size(capacity)} may promise ({self.allowed:g} times)",
            f"make it smaller, take volumes away, or allow it in Host/{self.host}: overcommit.disk {ratio:g}",
        )


class _Promise(NamedTuple):
    bytes: int
    volumes: int


class _Objection(NamedTuple):
    message: str
    advice: str


def of(world: World) -> Room:
    """What the documents of this world allow."""
    return Room(world.host, world.overcommit.disk)


# -- at plan -----------------------------------------------------------------------------------------------------

_Refusals = dict[str, Refusal]  # by name of the volume: who does not fit once everything that fits is there

_last: list[tuple[World, dict[str, _Refusals]]] = []  # of the world that was asked about last: each volume asks


def refusal(doc: Document, world: World) -> Refusal | None:
    """Why a volume that is to be made or grown has no room in its pool."""
    if not (_last and _last[0][0] is world):
        _last[:] = [(world, {})]
    pools, name = _last[0][1], doc.spec.pool
    if name not in pools:
        pools[name] = _refused(name, world)
    return pools[name].get(doc.key.name)


def _refused(pool: str, world: World) -> _Refusals:
    found, room, refused = world.live.pools.get(pool), of(world), {}
    images = {image.name: image for image in world.live.images.values() if image.pool == pool}
    now = _Promise(sum(image.size for image in images.values()), len(images))
    for doc in sorted(_declared(pool, world), key=lambda doc: doc.key.name):
        image = images.get(doc.key.name)
        if image is not None and not doc.adopts and Mark.parse(image.mark) is None:
            continue  # somebody else's
        more = int(doc.spec.size) - (image.size if image is not None else 0)
        objection = room.objection(doc.key.name, more, now, pool, found.capacity if found is not None else None)
        if objection is not None:
            refused[doc.key.name] = Refusal(reason="NoRoom", message=objection.message, advice=objection.advice)
        elif more > 0:
            now = _Promise(now.bytes + more, now.volumes + (image is None))
    return refused


def _declared(pool: str, world: World) -> list[Document]:
    return [doc for key, doc in world.documents.items() if key.kind == "Volume" and doc.spec.pool == pool]


def _size(count: int) -> str:
    """For people: whole MiB."""
    return Bytes(count // 2**20 * 2**20).to_text()
