"""StoragePool: a place for volumes, in Ceph or in a directory.

A directory is made when it is missing; one that exists is used as it is, and only what we made is ever removed. A
Ceph pool is checked and never made or deleted; what we keep on the host for it is the libvirt secret with its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Observed, Problem, Reference, World
from cell_reconciler.kinds.storage_pool import plan as planning
from cell_reconciler.kinds.storage_pool.check import check
from cell_reconciler.kinds.storage_pool.spec import StoragePoolSpec
from cell_reconciler.kinds.storage_pool.target import target
from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget

NEAR_FULL = 0.10  # of the capacity is free


class StoragePoolKind:
    """See ``kinds.contract.Kind``."""

    name = planning.KIND
    aliases: tuple[str, ...] = ("pool", "pools", "sp")
    spec = StoragePoolSpec
    sources = frozenset({Source.FILES, Source.CEPH, Source.LIBVIRT})

    def sources_of(self, doc: Document, documents: Mapping[Key, Document]) -> frozenset[Source]:
        """A directory needs neither Ceph nor libvirt."""
        spec: StoragePoolSpec = doc.spec
        return frozenset({Source.FILES} if spec.rbd is UNSET else {Source.CEPH, Source.LIBVIRT})

    def scope_of(self, doc: Document) -> str:
        """The part of the source: an unreachable pool says nothing about the others."""
        return doc.key.name

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        return check(doc, documents)

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        return ()

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def target(self, doc: Document) -> PoolTarget:
        """How drivers, and the disks of VMs, reach the pool."""
        return target(doc)

    def exists(self, name: str, live: Live) -> bool:
        pool = live.pools.get(name)
        return pool is not None and pool.exists

    def observe(self, name: str, world: World) -> Observed | None:
        found = planning.facts(name, world.live)
        mark = planning.mark_of(name, found)
        if mark is None and not self.exists(name, world.live):
            return None
        doc = world.declared(self.name, name)
        spec = doc.spec if doc is not None else StoragePoolSpec()
        return Observed(key=Key(self.name, name), spec=spec, mark=mark, detail=found)

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        kept = {mark.owner.name for s in live.secrets.values() if (mark := Mark.parse(s.description)) is not None}
        for name in sorted(live.pools.keys() | kept):
            mark = planning.mark_of(name, planning.facts(name, live))
            if mark is not None:
                yield name, mark

    def foreign(self, live: Live) -> Iterable[str]:
        """None: a place is observed only because a document declares it."""
        return ()

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        if want is not None:
            return planning.converge(want, world.live)
        if have is None:
            raise ValueError("neither wanted nor there: nothing to plan")
        return planning.prune(have, world)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        pool = world.live.pools.get(doc.key.name)
        if pool is None or not pool.exists or not pool.capacity or pool.available is None:
            return
        images = [image for image in world.live.images.values() if image.pool == pool.name]
        near = pool.available < NEAR_FULL * pool.capacity
        size = sum(image.size for image in images)
        yield Condition(
            type="NearFull",
            status=Truth.TRUE if near else Truth.FALSE,
            reason="LittleSpace" if near else "EnoughSpace",
            message=f"{_gib(pool.available)} of {_gib(pool.capacity)} free; {len(images)} volumes of {_gib(size)}",
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


KIND = StoragePoolKind()
