"""Storage backend ``rbd``: images of a Ceph pool (Glue), made and read through librbd.

The mark is image-meta (``cell/mark``, see ``pool_record``), bound to the image's id since RBD copies image-meta with
the image. The pool itself is the administrator's: never made, never deleted here.
"""

from __future__ import annotations

import errno
import hashlib
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cell_reconciler.drivers import ceph_creation as creation
from cell_reconciler.drivers import ceph_settings, ceph_snapshots, ceph_trash
from cell_reconciler.drivers.ceph_cluster import LIMIT, Cluster, libraries
from cell_reconciler.drivers.ceph_details import read_details
from cell_reconciler.drivers.ceph_headers import Header, read_headers, string, unstring
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.pool_progress import Meter, Tell, unheard
from cell_reconciler.drivers.pool_record import Record, is_ours
from cell_reconciler.errors import Refused, StepFailed, Transient
from cell_reconciler.model.live import Image, Pool, Snapshot
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import NOTED_SETTINGS, NOTED_SNAPSHOTS, Origin, PoolTarget

SILENCE = LIMIT  # while data are copied, as long as none come
_DETAILED = frozenset({NOTED_SETTINGS, NOTED_SNAPSHOTS})
REMOVAL = 3600.0  # deleting the objects of a large image takes its time; each operation has its own timeout


def open_pool(target: PoolTarget, writes: Writes) -> CephDoor:
    """See ``drivers.pools``."""
    return CephDoor(target, writes)


class CephDoor:
    """See ``drivers.pools.PoolDoor``."""

    def __init__(self, target: PoolTarget, writes: Writes, key: Callable[[], str] | None = None) -> None:
        """``key``: gives the cephx key, where it is not in the target's file."""
        self._target = target
        self._writes = writes
        self._cluster = Cluster(target, key)
        self._creating: dict[str, threading.Lock] = {}  # by volume: a host has one temporary name for it

    def secret(self) -> bytes:
        """The cephx key as libvirt's secret holds it: raw. Never to be logged. Raises Unreachable."""
        return b64decode(self._cluster.secret())

    def observe(self) -> tuple[Pool, tuple[Image, ...]]:
        return self._cluster.call(self._observe)

    def image(self, name: str) -> Image | None:
        def work(handle: Any) -> Image | None:
            with self._ioctx(handle) as ioctx:
                return None if ioctx is None else self._image(ioctx, name)

        return self._cluster.call(work)

    def users(self, name: str) -> tuple[str, ...]:
        def work(handle: Any) -> tuple[str, ...]:
            own = handle.get_addrs()  # a snapshot that this process takes meanwhile opens the image too
            with self._ioctx(handle) as ioctx:
                found = () if ioctx is None else self._watchers(ioctx, name)
            return tuple(watcher for watcher in found if watcher not in own)

        return self._cluster.call(work)

    def begin(self, name: str, count: int) -> bytes:
        """The first bytes of an image; empty when there is no such image."""
        _, rbd = libraries(self._cluster.source)

        def work(handle: Any) -> bytes:
            with self._ioctx(handle) as ioctx:
                if ioctx is None:
                    return b""
                try:
                    with rbd.Image(ioctx, name, read_only=True) as image:
                        return bytes(image.read(0, min(count, image.size())))
                except rbd.ImageNotFound:
                    return b""

        return self._cluster.call(work)

    def create_pool(self, mark: Mark) -> None:
        raise Refused(
            f"Ceph pool {self._target.place} is made by the cluster's administrator", how_to_make(self._target)
        )

    def delete_pool(self) -> None:
        raise Refused(f"Ceph pool {self._target.place} is never deleted from a host", "ask the cluster's administrator")

    def create(
        self,
        name: str,
        size: int,
        mark: Mark,
        notes: Mapping[str, str] | None = None,
        *,
        origin: Origin | None = None,
        tell: Tell = unheard,
    ) -> None:
        order = creation.Order(name=name, size=size, mark=mark, notes=notes, origin=origin)
        meter = Meter(f"volume {name}", tell)

        def work(ioctx: Any) -> None:
            with self._creating.setdefault(name, threading.Lock()):
                self._create(ioctx, order, meter)

        if origin is None:
            self._on_pool(work)
        else:
            self._on_pool(work, SILENCE, meter.alive)

    def snapshots(self, name: str) -> tuple[Snapshot, ...]:
        def work(handle: Any) -> tuple[Snapshot, ...]:
            with self._ioctx(handle) as ioctx:
                return () if ioctx is None else self._snapshots(ioctx, name)

        return self._cluster.call(work)

    def take_snapshot(self, name: str, snapshot: str) -> None:
        self._on_image(name, lambda i, _, rbd: ceph_snapshots.take(i, snapshot, self._writes, rbd), upkeep=True)

    def delete_snapshots(self, name: str, snapshots: Collection[str]) -> None:
        def work(image: Any, ioctx: Any, rbd: Any) -> None:
            found = [snapshot for snapshot in self._snapshots(ioctx, name) if snapshot.name in snapshots]
            ceph_snapshots.delete(image, found, self._path(name), self._writes, rbd)

        self._on_image(name, work, upkeep=True)

    def set_settings(self, name: str, values: Mapping[str, str], unset: Collection[str]) -> None:
        self._on_image(
            name, lambda image, _, rbd: ceph_settings.write(image, values, unset, self._path(name), self._writes, rbd)
        )

    def set_mark(self, name: str, mark: Mark, notes: Mapping[str, str] | None = None) -> None:
        def work(image: Any, *_: Any) -> None:
            self._writes.add("rbd.metadata_set")
            creation.write_mark(image, mark, notes)

        self._on_image(name, work)

    def grow(self, name: str, size: int) -> None:
        def work(image: Any, *_: Any) -> None:
            have = image.size()
            if size < have:
                raise Refused(f"image {self._path(name)} has {have} bytes and never shrinks to {size}")
            if size > have:
                self._writes.add("rbd.resize")
                image.resize(size, allow_shrink=False)

        self._on_image(name, work)

    def remove(self, name: str) -> None:
        def work(ioctx: Any) -> None:
            _, rbd = libraries(self._cluster.source)
            if self._may_go(ioctx, name):
                self._forget_snapshots(ioctx, name)
                self._writes.add("rbd.remove")
                try:
                    rbd.RBD().remove(ioctx, name)
                except rbd.ImageNotFound:
                    return
                except rbd.ImageBusy as error:
                    raise Transient(f"image {self._path(name)} is in use", _WATCHED) from error
                except rbd.ImageHasSnapshots as error:
                    raise Refused(f"image {self._path(name)} has snapshots", "delete them with `rbd snap`") from error

        self._on_pool(work, seconds=REMOVAL)

    def trash(self, name: str, seconds: float = 0.0) -> None:
        def work(ioctx: Any) -> None:
            _, rbd = libraries(self._cluster.source)
            if self._may_go(ioctx, name):
                self._writes.add("rbd.trash_move")
                try:
                    rbd.RBD().trash_move(ioctx, name, int(seconds))
                except rbd.ImageNotFound:
                    return

        self._on_pool(work)

    def restore(self, identity: str, name: str, notes: Mapping[str, str]) -> None:
        def work(ioctx: Any) -> None:
            rados, rbd = libraries(self._cluster.source)
            ceph_trash.restore(ioctx, identity, name, self._target.place, notes, self._writes, rados, rbd)

        self._on_pool(work)

    def purge(self, identity: str) -> None:
        def work(ioctx: Any) -> None:
            rados, rbd = libraries(self._cluster.source)
            ceph_trash.purge(ioctx, identity, self._target.place, self._writes, rados, rbd)

        self._on_pool(work, seconds=REMOVAL)

    def close(self) -> None:
        self._cluster.close()

    def _observe(self, handle: Any) -> tuple[Pool, tuple[Image, ...]]:
        rados, rbd = libraries(self._cluster.source)
        with self._ioctx(handle) as ioctx:
            if ioctx is None:
                return self._pool(exists=False), ()
            capacity, available = _space(handle, self._target.pool, rados.TimedOut)
            listed = [i for i in rbd.RBD().list2(ioctx) if not i["name"].startswith(creation.TEMPORARY)]
            headers = read_headers(ioctx, (i["id"] for i in listed if i["id"]), rados.OSError)
            images = self._images(ioctx, {i["id"]: i["name"] for i in listed}, headers)
            trash = ceph_trash.listed(ioctx, rados, rbd)
        return self._pool(exists=True, capacity=capacity, available=available, trash=trash), images

    def _pool(self, **facts: Any) -> Pool:
        return Pool(
            name=self._target.name,
            backend="rbd",
            target=self._target.place,
            **facts,
            detail={"secret_digest": hashlib.sha256(self.secret()).hexdigest()},
        )

    def _images(self, ioctx: Any, names: Mapping[str, str], headers: Mapping[str, Header]) -> tuple[Image, ...]:
        """Names and headers are by id. More is read of those that have a note about it."""
        rados, _ = libraries(self._cluster.source)
        records = {identity: Record.parse(header.mark, identity) for identity, header in headers.items()}
        noted = [i for i, record in records.items() if record is not None and not _DETAILED.isdisjoint(record.notes)]
        details = read_details(ioctx, noted, rados.OSError)
        return tuple(
            Image(
                pool=self._target.name,
                name=names[identity],
                size=header.size,
                mark=record.mark if (record := records[identity]) else None,
                snapshots=details[identity].snapshots if identity in details else None,
                settings=details[identity].settings if identity in details else {},
                detail={"id": identity, "features": header.features} | (record.notes if record else {}),
            )
            for identity, header in headers.items()
        )

    def _image(self, ioctx: Any, name: str) -> Image | None:
        rados, _ = libraries(self._cluster.source)
        identity = self._id(ioctx, name)
        headers = read_headers(ioctx, [identity], rados.OSError) if identity else {}
        return next(iter(self._images(ioctx, {identity: name}, headers)), None)

    def _id(self, ioctx: Any, name: str) -> str:
        """By the pool's directory, as ``list2`` has it: an id object without an entry there is half an image."""
        rados, _ = libraries(self._cluster.source)
        try:
            return unstring(ioctx.execute("rbd_directory", "rbd", "dir_get_id", string(name), 256)[1]).decode()
        except rados.ObjectNotFound:
            return ""

    def _snapshots(self, ioctx: Any, name: str) -> tuple[Snapshot, ...]:
        rados, _ = libraries(self._cluster.source)
        identity = self._id(ioctx, name)
        found = read_details(ioctx, [identity], rados.OSError).get(identity) if identity else None
        return ceph_trash.known(found.snapshots, self._path(name)) if found else ()

    def _forget_snapshots(self, ioctx: Any, name: str) -> None:
        """Those of ours go with the image. Raises Refused when there are others."""
        _, rbd = libraries(self._cluster.source)
        if found := self._snapshots(ioctx, name):
            with rbd.Image(ioctx, name) as image:
                ceph_snapshots.delete(image, found, self._path(name), self._writes, rbd)

    def _create(self, ioctx: Any, order: creation.Order, meter: Meter) -> None:
        rados, rbd = libraries(self._cluster.source)
        name, mark = order.name, order.mark
        if creation.leftover(ioctx, name, rados):
            self._writes.add("rbd.clean")
            creation.clean(ioctx, name, meter, rados, rbd)
        have = self._image(ioctx, name)
        if have is None:
            self._writes.add("rbd.create")
            if creation.make(ioctx, order, meter, rbd):
                return
            have = self._image(ioctx, name)  # another host that shares the pool was faster
        held = Mark.parse(have.mark) if have is not None and is_ours(have) else None
        if held is None or held.owner != mark.owner:
            advice = f"to take it over, annotate {mark.owner} with cell/adopt, or choose another name"
            what = "exists and is not ours" if have is not None else "is half deleted: finish it with `rbd rm`"
            raise Refused(f"image {self._path(name)} {what}", advice)

    def _may_go(self, ioctx: Any, name: str) -> bool:
        """False when it is gone already. Raises Refused for a foreign image, Transient while somebody watches it."""
        have = self._image(ioctx, name)
        if have is None:
            return False
        if not is_ours(have):
            raise Refused(f"image {self._path(name)} is not ours", f"rbd rm {self._path(name)}")
        watchers = self._watchers(ioctx, name)
        if watchers:
            raise Transient(f"image {self._path(name)} is open at {', '.join(watchers)}", _WATCHED)
        return True

    def _watchers(self, ioctx: Any, name: str) -> tuple[str, ...]:
        """Addresses of the clients that have it open; a client that reads only, as this look does, watches nothing."""
        _, rbd = libraries(self._cluster.source)
        try:
            with rbd.Image(ioctx, name, read_only=True) as image:
                return tuple(sorted({watcher["addr"] for watcher in image.watchers_list()}))
        except rbd.ImageNotFound:  # gone, or a removal that was interrupted took the header
            return ()

    def _path(self, name: str) -> str:
        return f"{self._target.place}/{name}"

    def _on_image(self, name: str, work: Callable[[Any, Any, Any], None], *, upkeep: bool = False) -> None:
        """``work(image, ioctx, rbd)``. Whoever has it open takes part in that; when they hang, the pool does not.

        ``upkeep``: not worth breaking the lock of a client that does not answer. Raises StepFailed when there is no
        such image, Transient for those clients.
        """
        rados, rbd = libraries(self._cluster.source)

        def run(handle: Any) -> None:
            with self._ioctx(handle) as ioctx:
                if ioctx is None:
                    raise self._missing()
                me, place = f"client.{handle.get_instance_id()}", self._path(name)
                try:
                    ceph_snapshots.ask_owners(ioctx, name, place, me, self._writes, rados, rbd, upkeep=upkeep)
                    image = rbd.Image(ioctx, name)
                except rbd.ImageNotFound as error:
                    raise StepFailed(f"image {place} does not exist", "the next run makes it again") from error
                with image:
                    work(image, ioctx, rbd)

        self._cluster.call_with_others(run)

    def _on_pool(
        self, work: Callable[[Any], None], seconds: float = LIMIT, sign: Callable[[], float] | None = None
    ) -> None:
        """``work(ioctx)``. Raises Refused for a pool that does not exist."""

        def run(handle: Any) -> None:
            with self._ioctx(handle) as ioctx:
                if ioctx is None:
                    raise self._missing()
                work(ioctx)

        self._cluster.call(run, seconds, sign)

    def _missing(self) -> Refused:
        return Refused(f"Ceph pool {self._target.place} does not exist", how_to_make(self._target))

    @contextmanager
    def _ioctx(self, handle: Any) -> Iterator[Any]:
        """The pool and namespace, None when there is no such."""
        rados, rbd = libraries(self._cluster.source)
        try:
            ioctx = handle.open_ioctx(self._target.pool)
        except rados.ObjectNotFound:
            yield None
            return
        with ioctx:
            if self._target.namespace:
                if not rbd.RBD().namespace_exists(ioctx, self._target.namespace):
                    yield None
                    return
                ioctx.set_namespace(self._target.namespace)
            yield ioctx


_WATCHED = "stop the VM or the job that uses it; the watch of a client that died ends after 30 s"


def how_to_make(target: PoolTarget) -> str:
    """The commands by which an administrator makes the pool."""
    make = f"ceph osd pool create {target.pool} && rbd pool init {target.pool}"
    return f"{make} && rbd namespace create {target.place}" if target.namespace else make


def _space(handle: Any, pool: str, timed_out: Callable[..., Exception]) -> tuple[int | None, int | None]:
    """Capacity and free bytes of a pool; None where the cluster has no statistics (no manager) or hides them."""
    code, out, _ = handle.mon_command(json.dumps({"prefix": "df", "format": "json"}), b"")
    if code == -errno.ETIMEDOUT:
        raise timed_out("the monitors do not answer", errno=errno.ETIMEDOUT)
    pools = json.loads(out)["pools"] if code == 0 else []
    stats = next((p["stats"] for p in pools if p["name"] == pool), None)
    if stats is None:
        return None, None
    return int(stats["stored"]) + int(stats["max_avail"]), int(stats["max_avail"])
