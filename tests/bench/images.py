"""``python -m tests.bench images``: a Ceph pool of 10,000 images observed, beside the bare calls in the same run.

A cluster of one OSD on this machine. Floors: names, and one call of Ceph's class ``rbd`` for each fact of each image
(size, features, image-meta), 256 in flight, answers thrown away; opening an image is measured for some and scaled.
Every tenth image has a schedule of snapshots, and some of those a day's worth of them.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from cell_reconciler.drivers import Writes
from cell_reconciler.drivers.ceph import open_pool
from cell_reconciler.drivers.ceph_headers import IN_FLIGHT, MARK, string
from cell_reconciler.drivers.pool_record import Record
from cell_reconciler.errors import CellError
from cell_reconciler.lab import needs
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import NOTED_SNAPSHOTS, snapshot_name
from tests.bench.measure import row
from tests.ceph_cluster import CephCluster

COUNT = 10_000
SCHEDULED = 10  # every tenth
KEPT, OF = 24, 20  # snapshots each, of so many images
OPENED = 200  # images that are opened for the comparison
SIZE = 2**20
SCHEDULE = '{"every":"1h","keep":{"hourly":24}}'

_HEAD = struct.pack("<Q", 2**64 - 2)  # CEPH_NOSNAP: the image itself
FACTS = (("get_size", _HEAD), ("get_features", _HEAD + b"\x01"), ("metadata_get", string(MARK)))


def images() -> None:
    """Make the images, observe them, print. Without Ceph's packages: say so."""
    try:
        needs.require("ceph")
    except CellError as error:
        print(f"(images: {error.message})", flush=True)
        return
    cluster = CephCluster()
    try:
        _measure(cluster)
    finally:
        cluster.ceph.down()


def _measure(cluster: CephCluster) -> None:
    target = cluster.new_place()
    with cluster.ioctx(target) as ioctx:
        make(ioctx, COUNT)
        _snapshots(ioctx)
        door = open_pool(target, Writes())
        door.observe()  # connects
        bare = best(lambda: calls(ioctx, FACTS))
        sizes = best(lambda: calls(ioctx, FACTS[:1]))
        ours = best(lambda: door.observe())
        found = door.observe()[1]
        opening = opened(ioctx, OPENED) * COUNT / OPENED
        door.close()
    assert len(found) == COUNT
    assert all(image.mark and image.size == SIZE and image.detail["features"] for image in found)
    assert sum(image.snapshots is not None for image in found) == COUNT // SCHEDULED
    assert sum(len(image.snapshots or ()) for image in found) == KEPT * OF
    what = f"{COUNT} RBD images: name, size, features, mark; snapshots of {COUNT // SCHEDULED}"
    row(what, f"{ours:.2f} s", f"bare calls {bare:.2f} s", "2 s")
    row("  names and sizes only, bare calls", "-", f"{sizes:.2f} s", "-")
    row("  all facts, each image opened by librbd", "-", f"{opening:.0f} s", "-")


def best(work: Callable[[], object], repeat: int = 3) -> float:
    """Seconds of the fastest run."""
    found = float("inf")
    for _ in range(repeat):
        started = time.monotonic()
        work()
        found = min(found, time.monotonic() - started)
    return found


def calls(ioctx: Any, facts: Sequence[tuple[str, bytes]]) -> None:
    """What Ceph and its binding take for these calls of class ``rbd`` when nobody looks at the answers."""
    import rbd

    room = threading.Semaphore(IN_FLIGHT)
    for image in rbd.RBD().list2(ioctx):
        for method, data in facts:
            room.acquire()
            ioctx.aio_execute(f"rbd_header.{image['id']}", "rbd", method, data, 4096, lambda *_: room.release())
    for _ in range(IN_FLIGHT):
        room.acquire()


def opened(ioctx: Any, count: int) -> float:
    """Seconds for the same facts of some images, each opened by librbd."""
    import rbd

    started = time.monotonic()
    for number in range(count):
        with rbd.Image(ioctx, f"disk-{number:05d}", read_only=True) as image:
            image.size(), image.features(), image.metadata_get(MARK)
    return time.monotonic() - started


def make(ioctx: Any, count: int) -> None:
    """Empty images ``disk-00000`` … with a mark each."""
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda number: _make(ioctx, f"disk-{number:05d}"), range(count)))


def _snapshots(ioctx: Any) -> None:
    import rbd

    for number in range(OF):
        with rbd.Image(ioctx, f"disk-{number * SCHEDULED:05d}") as image:
            for hour in range(KEPT):
                image.create_snap(snapshot_name(datetime(2026, 11, 28, hour, tzinfo=UTC)))


def _make(ioctx: Any, name: str) -> None:
    import rbd

    rbd.RBD().create(ioctx, name, SIZE)
    identity = ioctx.read(f"rbd_id.{name}")[4:].decode()
    scheduled = {NOTED_SNAPSHOTS: SCHEDULE} if int(name[5:]) % SCHEDULED == 0 else {}
    notes = {"reclaimPolicy": "Retain"} | scheduled
    value = Record.make(Mark(Key("Volume", name), "0" * 16), identity, notes).to_bytes()
    # class rbd, metadata_set: map<string, bufferlist>; as Image.metadata_set, but without opening 10,000 images
    data = (1).to_bytes(4, "little") + string(MARK) + len(value).to_bytes(4, "little") + value
    ioctx.execute(f"rbd_header.{identity}", "rbd", "metadata_set", data)
