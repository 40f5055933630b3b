"""How long a pool of many images takes to observe, beside its floor in the same run. Printed, not asserted."""

from __future__ import annotations

import os
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cell_reconciler.drivers import Writes
from cell_reconciler.drivers.ceph import open_pool
from cell_reconciler.drivers.ceph_headers import IN_FLIGHT, MARK, string
from cell_reconciler.drivers.pool_record import Record
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from tests.ceph_cluster import CephCluster, ceph_fixture  # noqa: F401  # a fixture

pytestmark = pytest.mark.ceph

COUNT = int(os.environ.get("CELL_BULK_IMAGES", "500"))  # 10000 for the figure; making them takes some minutes


def test_many_images_are_read_in_bulk(ceph: CephCluster) -> None:
    target = ceph.new_place()
    with ceph.ioctx(target) as ioctx:
        with ThreadPoolExecutor(4) as executor:
            list(executor.map(lambda number: _make(ioctx, f"disk-{number:05d}"), range(COUNT)))
        floor = _bare(ioctx)
    door = open_pool(target, Writes())
    door.observe()
    started, busy = time.monotonic(), time.process_time()
    _, images = door.observe()
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    door.close()
    print(
        f"\n{COUNT} images with size and mark: {seconds:.2f} s ({busy:.2f} s CPU here); "
        f"the same reads bare: {floor:.2f} s"
    )
    assert len(images) == COUNT
    assert all(Mark.parse(image.mark) and image.size == 2**20 for image in images)


def _bare(ioctx: Any) -> float:
    """Seconds that Ceph and its binding take for the same reads when nobody looks at the answers."""
    import rbd

    started = time.monotonic()
    room = threading.Semaphore(IN_FLIGHT)
    for image in rbd.RBD().list2(ioctx):
        for method, data in (("get_size", struct.pack("<Q", 2**64 - 2)), ("metadata_get", string(MARK))):
            room.acquire()
            ioctx.aio_execute(f"rbd_header.{image['id']}", "rbd", method, data, 4096, lambda *_: room.release())
    for _ in range(IN_FLIGHT):
        room.acquire()
    return time.monotonic() - started


def _make(ioctx: Any, name: str) -> None:
    import rbd

    rbd.RBD().create(ioctx, name, 2**20)
    identity = ioctx.read(f"rbd_id.{name}")[4:].decode()
    value = Record.make(Mark(Key("Volume", name), "0" * 16), identity, {"reclaimPolicy": "Retain"}).to_bytes()
    # class rbd, metadata_set: map<string, bufferlist>; as Image.metadata_set, but without opening 10,000 images
    data = (1).to_bytes(4, "little") + string(MARK) + len(value).to_bytes(4, "little") + value
    ioctx.execute(f"rbd_header.{identity}", "rbd", "metadata_set", data)
