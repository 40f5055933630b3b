"""Volume: a RAW disk image in a storage pool. It grows, never shrinks, never moves.

Its data outlives its document unless the reclaim policy says otherwise, and never goes while a domain uses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Observed, Problem, Reference, World
from cell_reconciler.kinds.storage_names import check_name
from cell_reconciler.kinds.volume import plan as planning
from cell_reconciler.kinds.volume import schedule, settings, source, upkeep
from cell_reconciler.kinds.volume.spec import VolumeSpec
from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Bytes

SECTOR = 512  # bytes; QEMU rounds a disk to it


class VolumeKind:
    """See ``kinds.contract.Kind``."""

    name = planning.KIND
    aliases: tuple[str, ...] = ("vol", "vols")
    spec = VolumeSpec
    sources = frozenset({Source.FILES, Source.CEPH})

    def sources_of(self, doc: Document, documents: Mapping[Key, Document]) -> frozenset[Source]:
        """The one that its pool is in; both while the pool is not declared."""
        pool = documents.get(Key("StoragePool", doc.spec.pool))
        if pool is None:
            return self.sources
        return frozenset({Source.CEPH if pool.spec.rbd else Source.FILES})

    def scope_of(self, doc: Document) -> str:
        """The part of the source: another pool that is unreachable does not matter."""
        return str(doc.spec.pool)

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        size: Bytes = doc.spec.size
        yield from check_name(doc)
        if size == 0 or size % SECTOR:
            yield Problem(
                pointer="/spec/size",
                rule="volume-size",
                message=f"{size.to_text()} is not a multiple of {SECTOR} bytes above 0",
            )
        yield from source.check(doc, documents)
        yield from settings.check(doc)
        if doc.spec.snapshots is not UNSET:
            yield from schedule.check(doc.spec.snapshots)
        pool = documents.get(Key("StoragePool", doc.spec.pool))
        if pool is not None and not pool.spec.rbd:
            yield from _without_ceph(doc)

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        yield Reference(Key("StoragePool", doc.spec.pool), "/spec/pool")
        clone = doc.spec.source.clone if doc.spec.source else None
        if clone and clone.volume:
            yield Reference(Key(self.name, clone.volume), "/spec/source/clone/volume")

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def exists(self, name: str, live: Live) -> bool:
        return any(f"{pool}/{name}" in live.images for pool in live.pools)

    def observe(self, name: str, world: World) -> Observed | None:
        """The image in the pool that the document names; else ours of that name, wherever it is."""
        doc = world.declared(self.name, name)
        there = [i for pool in sorted(world.live.pools) if (i := world.live.images.get(f"{pool}/{name}")) is not None]
        named = [image for image in there if doc is not None and image.pool == doc.spec.pool]
        ours = [image for image in there if planning.mark_of(image) is not None]
        image = next(iter((*named, *ours)), None)
        return None if image is None else planning.observed(image, doc)

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        """What this host may ever prune. What is retained is ours, too, but never to be deleted."""
        for image in live.images.values():
            mark = planning.mark_of(image)
            if mark is not None and planning.prunable(image, live):
                yield image.name, mark

    def foreign(self, live: Live) -> Iterable[str]:
        return sorted({image.name for image in live.images.values() if planning.mark_of(image) is None})

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        if want is not None:
            return planning.converge(want, have, world)
        if have is None:
            raise ValueError("neither wanted nor there: nothing to plan")
        return planning.prune(have, world)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        return upkeep.condition(doc, have, world.live.at)


def _without_ceph(doc: Document) -> Iterable[Problem]:
    """What a directory cannot do."""
    for field, what in (("snapshots", "snapshots"), ("settings", "settings of single volumes")):
        if getattr(doc.spec, field):
            yield Problem(
                pointer=f"/spec/{field}",
                rule="needs-rbd",
                message=f"{doc.spec.pool} is a directory pool, which has no {what}",
                advice=f"remove {field}, or declare the volume in an rbd pool",
            )


KIND = VolumeKind()
