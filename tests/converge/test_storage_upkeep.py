"""Snapshots, settings and notes of a volume in Ceph through the whole way, stopped before each write, and again."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.drivers import Doors, Writes
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.volume import KIND, notes
from cell_reconciler.kinds.world import build
from cell_reconciler.model.change import Change
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Image, Source
from cell_reconciler.model.storage import PoolTarget
from tests.ceph_cluster import CephCluster, ceph_fixture  # noqa: F401  # a fixture
from tests.kinds.storage import document

pytestmark = pytest.mark.ceph

# A slot is a year, so that no test crosses into the next one
BEFORE = {"settings": {"rbd_qos_iops_limit": 1000, "rbd_cache_policy": "writeback"}}
AFTER = {
    "size": "2MiB",
    "settings": {"rbd_qos_iops_limit": 2000, "rbd_readahead_max_bytes": 0},
    "snapshots": {"every": "365d", "keep": {"last": 1}},
    "reclaimPolicy": "Trash",
    "trashFor": "1d",
}
OLD = ("cell-20100101T000000Z", "cell-20110101T000000Z")


class Stopped(Exception):
    """In place of SIGKILL: no further write is made."""


class Counted(Writes):
    """Stops before write ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def add(self, call: str) -> None:
        if self.total == self.number:
            raise Stopped
        super().add(call)


def doors(number: int = -1) -> Doors:
    opened = Doors()
    opened.writes = Counted(number)
    return opened


def want(target: PoolTarget, spec: dict[str, Any]) -> tuple[Document, Document]:
    place = {"monitors": list(target.monitors), "pool": target.pool, "namespace": target.namespace, "user": target.user}
    pool = document("StoragePool/glue", {"rbd": place | {"secret": {"file": target.secret_file}}})
    return pool, document("Volume/demo", {"pool": "glue", "size": "1MiB", **spec})


def look(pool: Document, doc: Document, doors: Doors) -> tuple[Change, World]:
    from cell_reconciler.drivers.observe import observe
    from cell_reconciler.kinds.world import pool_targets

    documents = {pool.key: pool, doc.key: doc}
    live = observe(doors, "h1", pool_targets(documents), {Source.CEPH})
    world = build("h1", documents, live)
    return KIND.plan(doc, KIND.observe("demo", world), world), world


def apply(pool: Document, doc: Document, doors: Doors) -> None:
    change, _ = look(pool, doc, doors)
    assert change.refused == ()
    for step in change.steps:
        if not step.action.done(doors):
            step.action.do(doors)
            assert step.action.done(doors)


def settled(pool: Document, doc: Document) -> Image:
    """Applied until nothing is to do: at most twice, since snapshots are seen only once their schedule is noted."""
    opened = doors()
    for _ in range(2):
        apply(pool, doc, opened)
    change, world = look(pool, doc, opened)
    assert change.quiet
    opened.close()
    return world.live.images["glue/demo"]


def test_stopped_before_each_write_it_ends_as_declared(ceph: CephCluster) -> None:
    import rbd

    for number in range(100):
        target = ceph.new_place()
        settled(*want(target, BEFORE))
        with ceph.ioctx(target) as ioctx, rbd.Image(ioctx, "demo") as there:
            for name in (*OLD, "by-hand"):
                there.create_snap(name)
        pool, doc = want(target, AFTER)
        dying = doors(number)
        try:
            apply(pool, doc, dying)
            finished = True
        except Stopped:
            finished = False
        dying.close()
        image = settled(pool, doc)
        assert image.size == 2 * 2**20
        assert image.settings == {"rbd_qos_iops_limit": "2000", "rbd_readahead_max_bytes": "0"}
        names = {snapshot.name for snapshot in image.snapshots or ()}
        assert len(names) == 2
        assert names.isdisjoint(OLD)
        assert "by-hand" in names
        assert notes.same(image, notes.of(doc.spec, "h1", doc.spec.settings))
        if finished:
            assert number >= 7, "it made fewer writes than there are changes"
            return
    raise AssertionError("it never came to its end")


def test_out_of_the_document_out_of_the_image(ceph: CephCluster) -> None:
    target = ceph.new_place()
    settled(*want(target, AFTER))
    ceph.run("rbd", "config", "image", "set", f"{target.place}/demo", "rbd_cache_size", "1048576")
    image = settled(*want(target, {"size": "2MiB"}))
    said = ceph.run("rbd", "image-meta", "ls", f"{target.place}/demo")
    assert "rbd_cache_size" in said, "of somebody else"
    assert "rbd_qos_iops_limit" not in said
    assert image.snapshots is None, "it is not asked for any more"
    assert len(ceph.run("rbd", "snap", "ls", f"{target.place}/demo").splitlines()) == 2, "and those there are stay"
