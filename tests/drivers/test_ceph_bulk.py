"""A pool of many images is read in bulk; what that takes is printed beside its floor, not asserted.

``python -m tests.bench images`` does it for 10,000.
"""

from __future__ import annotations

import os
import time

import pytest

from cell_reconciler.drivers import Writes
from cell_reconciler.drivers.ceph import open_pool
from cell_reconciler.model.mark import Mark
from tests.bench.images import FACTS, SIZE, best, calls, make
from tests.ceph_cluster import CephCluster, ceph_fixture  # noqa: F401  # a fixture

pytestmark = pytest.mark.ceph

COUNT = int(os.environ.get("CELL_BULK_IMAGES", "500"))


def test_many_images_are_read_in_bulk(ceph: CephCluster) -> None:
    target = ceph.new_place()
    with ceph.ioctx(target) as ioctx:
        make(ioctx, COUNT)
        floor = best(lambda: calls(ioctx, FACTS))
    door = open_pool(target, Writes())
    door.observe()
    started, busy = time.monotonic(), time.process_time()
    _, images = door.observe()
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    door.close()
    print(
        f"\n{COUNT} images with size, features and mark: {seconds:.2f} s ({busy:.2f} s CPU here); "
        f"a bare call for each: {floor:.2f} s"
    )
    assert len(images) == COUNT
    assert all(Mark.parse(image.mark) and image.size == SIZE and image.detail["features"] for image in images)


def test_facts_are_those_of_librbd(ceph: CephCluster) -> None:
    """Read past librbd, they must be what it says, whatever the features; what is no image is left out."""
    import rbd

    target = ceph.new_place()
    expected = {}
    with ceph.ioctx(target) as ioctx:
        wanted = (rbd.RBD_FEATURE_LAYERING, rbd.RBD_FEATURE_LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK)
        for number, features in enumerate(wanted):
            rbd.RBD().create(ioctx, f"a{number}", 2**20 + number * 512, features=features)
        with rbd.Image(ioctx, "a0") as image:
            image.create_snap("one")
            image.protect_snap("one")
            image.resize(5 * 2**20)
            image.metadata_set("conf_rbd_cache", "false")
            image.metadata_set("other", "x" * 5000)
        rbd.RBD().clone(ioctx, "a0", "one", ioctx, "clone")
        rbd.RBD().create(ioctx, "half", 2**20)
        for name in ("a0", "a1", "clone"):
            with rbd.Image(ioctx, name, read_only=True) as image:
                expected[name] = (image.size(), image.features(), image.id())
        ioctx.remove_object(f"rbd_header.{ioctx.read('rbd_id.half')[4:].decode()}")
    door = open_pool(target, Writes())
    found = {i.name: (i.size, i.detail["features"], i.detail["id"]) for i in door.observe()[1]}
    assert found == expected
    assert door.image("half") is None
    door.close()
