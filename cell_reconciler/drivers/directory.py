"""Storage backend ``directory``: RAW sparse files, named ``VOLUME.raw``.

What is ours is written in ``.cell/`` beside the files, each record bound to the inode that it is about::

    demo.raw                 the data
    .cell/demo.json          mark and notes of demo.raw
    .cell/demo.tmp           a file that is being made; it gets its name once all else is on disk
    .cell/.pool.json         mark of the directory itself, when we made it (no volume's name starts with a dot)
    .cell/trash/demo.1.raw   with its record, which also says since when it is there, and how long it stays
    .cell/lock               held (flock) by whoever writes, so that hosts can share a directory
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

from cell_reconciler.drivers import directory_creation as creation
from cell_reconciler.drivers import directory_files as files
from cell_reconciler.drivers import directory_trash as trash
from cell_reconciler.drivers.directory_files import CELL, SUFFIX, opened
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.pool_deadline import Deadline
from cell_reconciler.drivers.pool_progress import Meter, Tell, unheard
from cell_reconciler.drivers.pool_record import Record, is_ours
from cell_reconciler.errors import Refused, StepFailed, Transient, Unreachable
from cell_reconciler.model.live import Image, Pool, Snapshot
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import Origin, PoolTarget

SECONDS = 10.0  # a directory that takes longer (NFS without its server) is unreachable
SILENCE = 60.0  # while data are copied, as long as none come

_POOL = ".pool.json"
_NO_VOLUME = (errno.ENOENT, errno.ELOOP, errno.ENXIO)  # none, a symbolic link, a socket
_NO_SERVER = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.ENODEV)

T = TypeVar("T")


def open_pool(target: PoolTarget, writes: Writes) -> DirectoryDoor:
    """See ``drivers.pools``."""
    return DirectoryDoor(target, writes)


class DirectoryDoor:
    """See ``drivers.pools.PoolDoor``."""

    def __init__(self, target: PoolTarget, writes: Writes) -> None:
        self._target = target
        self._writes = writes
        self._source = f"directory {target.path}"
        self._deadline = Deadline(self._source)
        self._filling = Deadline(f"{self._source}, or what a volume is made from,")

    def observe(self) -> tuple[Pool, tuple[Image, ...]]:
        return self._reading(self._observe)

    def image(self, name: str) -> Image | None:
        def work() -> Image | None:
            with suppress(FileNotFoundError), files.pool_directory(self._target.path) as (root, cell):
                return self._image(root, cell, name)
            return None

        return self._reading(work)

    def users(self, name: str) -> tuple[str, ...]:
        def work() -> tuple[str, ...]:
            with suppress(FileNotFoundError), files.pool_directory(self._target.path) as (root, _):
                try:
                    with opened(root, name + SUFFIX, os.O_RDWR | os.O_NONBLOCK) as fd:
                        return ("QEMU",) if files.in_qemu(fd) else ()
                except OSError as error:
                    if error.errno in _NO_VOLUME:
                        return ()
                    raise
            return ()

        return self._reading(work)

    def create_pool(self, mark: Mark) -> None:
        self._writing(lambda: self._create_pool(mark))

    def delete_pool(self) -> None:
        self._writing(self._delete_pool)

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
        if origin is None:
            self._writing(lambda: self._create(name, size, mark, notes))
            return
        meter = Meter(f"volume {name}", tell)
        self._writing(lambda: self._create_from(origin, name, size, mark, notes, meter), meter.alive)

    def set_mark(self, name: str, mark: Mark, notes: Mapping[str, str] | None = None) -> None:
        def work() -> None:
            with self._locked() as (root, cell), opened(root, name + SUFFIX, os.O_RDONLY | os.O_NONBLOCK) as fd:
                bind = files.identity(fd)
                old = Record.parse(files.read(cell, f"{name}.json"), bind)
                kept = old.notes if old is not None and notes is None else notes
                self._writes.add("directory.set_mark")
                files.write(cell, f"{name}.json", Record.make(mark, bind, kept))

        self._writing(work)

    def grow(self, name: str, size: int) -> None:
        def work() -> None:
            with self._locked() as (root, _), opened(root, name + SUFFIX, os.O_RDWR) as fd:
                have = os.fstat(fd).st_size
                if size < have:
                    raise Refused(f"{self._path(name)} has {have} bytes and never shrinks to {size}")
                if size > have:
                    self._writes.add("directory.grow")
                    os.ftruncate(fd, size)
                    os.fsync(fd)

        self._writing(work)

    def remove(self, name: str) -> None:
        def work() -> None:
            with self._locked() as (root, cell):
                if self._may_go(root, cell, name):
                    self._writes.add("directory.remove")
                    os.unlink(name + SUFFIX, dir_fd=root)
                    files.unlink(cell, f"{name}.tmp")
                    files.unlink(cell, f"{name}.json")

        self._writing(work)

    def trash(self, name: str, seconds: float = 0.0) -> None:
        def work() -> None:
            with self._locked() as (root, cell):
                if self._may_go(root, cell, name):
                    self._writes.add("directory.trash")
                    files.unlink(cell, f"{name}.tmp")
                    trash.move(root, cell, name, seconds)

        self._writing(work)

    def restore(self, identity: str, name: str, notes: Mapping[str, str]) -> None:
        def work() -> None:
            with self._locked() as (root, cell):
                self._writes.add("directory.restore")
                trash.restore(root, cell, identity, name, notes, self._path(name))

        self._writing(work)

    def purge(self, identity: str) -> None:
        def work() -> None:
            with self._locked() as (_, cell):
                self._writes.add("directory.purge")
                trash.purge(cell, identity, self._target.path)

        self._writing(work)

    def snapshots(self, name: str) -> tuple[Snapshot, ...]:
        raise self._without("snapshots")

    def take_snapshot(self, name: str, snapshot: str) -> None:
        raise self._without("snapshots")

    def delete_snapshots(self, name: str, snapshots: Collection[str]) -> None:
        raise self._without("snapshots")

    def set_settings(self, name: str, values: Mapping[str, str], unset: Collection[str]) -> None:
        raise self._without("settings of single volumes")

    def _without(self, what: str) -> Refused:
        return Refused(f"{self._target.path} is a directory, which has no {what}", "use a pool in Ceph (rbd)")

    def close(self) -> None:
        """Nothing is kept open."""

    def _observe(self) -> tuple[Pool, tuple[Image, ...]]:
        absent = Pool(name=self._target.name, backend="directory", target=self._target.path, exists=False)
        with suppress(FileNotFoundError), files.pool_directory(self._target.path) as (root, cell):
            space = os.fstatvfs(root)
            record = Record.parse(files.read(cell, _POOL), files.identity(root))
            images = [self._image(root, cell, name) for name in files.volume_names(root)]
            pool = Pool(
                name=self._target.name,
                backend="directory",
                target=self._target.path,
                exists=True,
                mark=record.mark if record else None,
                capacity=space.f_frsize * space.f_blocks,
                available=space.f_frsize * space.f_bavail,
                trash=trash.listed(cell),
            )
            return pool, tuple(image for image in images if image is not None)
        return absent, ()

    def _image(self, root: int, cell: int, name: str) -> Image | None:
        """None for what is no regular file: a symbolic link may lead anywhere, so it is not a volume."""
        try:
            with opened(root, name + SUFFIX, os.O_RDONLY | os.O_NONBLOCK) as fd:
                facts = os.fstat(fd)
                data = files.read(cell, f"{name}.json")
                record = Record.parse(data, files.identity(fd)) if data else None
        except OSError as error:
            if error.errno in _NO_VOLUME:
                return None
            raise
        if not stat.S_ISREG(facts.st_mode):
            return None
        return Image(
            pool=self._target.name,
            name=name,
            size=facts.st_size,
            mark=record.mark if record else None,
            path=self._path(name),
            detail=dict(record.notes) if record else {},
        )

    def _create_pool(self, mark: Mark) -> None:
        """A directory that exists is used as it is and gets no mark: it is not ours to delete.

        Ours is made under another name and gets its own when the mark is in it: a run that is killed anywhere
        leaves no directory that nobody would know to be ours.
        """
        parent, name = os.path.split(self._target.path.rstrip("/"))
        draft = f"{parent}/.{name}.cell-new"
        os.makedirs(parent, exist_ok=True)
        self._writes.add("directory.create_pool")
        if not os.path.lexists(self._target.path):
            with suppress(FileExistsError):
                os.mkdir(draft, 0o711)
            with suppress(FileExistsError):
                os.mkdir(f"{draft}/{CELL}", 0o700)
            with files.pool_directory(draft) as (root, cell):
                files.write(cell, _POOL, Record.make(mark, files.identity(root), None))
            os.rename(draft, self._target.path)
        shutil.rmtree(draft, ignore_errors=True)  # of a run that was killed, where somebody else made the directory

    def _delete_pool(self) -> None:
        with suppress(FileNotFoundError):
            with files.pool_directory(self._target.path) as (root, cell):
                if Record.parse(files.read(cell, _POOL), files.identity(root)) is None:
                    raise Refused(f"{self._target.path} was not made by us", "remove the directory by hand")
            with self._locked() as (root, cell):
                self._empty(root, cell)
                os.rmdir(CELL, dir_fd=root)
            os.rmdir(self._target.path)

    def _empty(self, root: int, cell: int) -> None:
        """Take away what is ours in an empty pool, the mark last. Raises Refused when data is left."""
        left = [entry for entry in os.listdir(root) if entry != CELL]
        left += [f"{CELL}/trash/{entry}" for entry in trash.names(cell)]
        if left:
            raise Refused(
                f"{self._target.path} is not empty: it holds {', '.join(sorted(left)[:3])}",
                "move or delete what is in it; then it is removed",
            )
        self._writes.add("directory.delete_pool")
        trash.remove(cell)
        for entry in sorted(os.listdir(cell), key=lambda entry: entry == _POOL):
            os.unlink(entry, dir_fd=cell)

    def _create(self, name: str, size: int, mark: Mark, notes: Mapping[str, str] | None) -> None:
        with self._locked() as (root, cell):
            creation.clear(cell, name)
            if self._taken(root, cell, name, mark):
                return
            self._writes.add("directory.create")
            with creation.draft(cell, name) as fd:
                os.ftruncate(fd, size)
                os.fsync(fd)
                self._finish(root, cell, name, fd, mark, notes)

    def _create_from(
        self, origin: Origin, name: str, size: int, mark: Mark, notes: Mapping[str, str] | None, meter: Meter
    ) -> None:
        """The draft is held until its end, the pool only at both ends: others use it while the data come."""
        with ExitStack() as held:
            with self._locked() as (root, cell):
                creation.clear(cell, name)
                if self._taken(root, cell, name, mark):
                    return
                self._writes.add("directory.create")
                fd = held.enter_context(creation.draft(cell, name))
            with files.pool_directory(self._target.path) as (root, _):
                creation.fill(fd, root, size, origin, meter)
            with self._locked() as (root, cell):
                if not self._taken(root, cell, name, mark):
                    self._finish(root, cell, name, fd, mark, notes)

    def _finish(self, root: int, cell: int, name: str, fd: int, mark: Mark, notes: Mapping[str, str] | None) -> None:
        """Mark and name of a draft whose data are on disk."""
        files.write(cell, f"{name}.json", Record.make(mark, files.identity(fd), notes))
        given = files.give_name(cell, f"{name}.tmp", root, name + SUFFIX)
        if not given and not self._taken(root, cell, name, mark):  # by somebody who does not ask for the lock
            raise Refused(f"{self._path(name)} is there and is no volume", "move it away, or choose another name")
        os.fsync(root)
        os.fsync(cell)

    def _taken(self, root: int, cell: int, name: str, mark: Mark) -> bool:
        """Is there such a volume already? Raises Refused when it is not ours."""
        have = self._image(root, cell, name)
        if have is None:
            return False
        held = Mark.parse(have.mark) if is_ours(have) else None
        if held is None or held.owner != mark.owner:
            advice = f"to take it over, annotate {mark.owner} with cell/adopt, or choose another name"
            raise Refused(f"{self._path(name)} exists and is not ours", advice)
        return True

    def _may_go(self, root: int, cell: int, name: str) -> bool:
        """False when it is gone already. Raises Refused for a foreign file, Transient while it is open."""
        image = self._image(root, cell, name)
        if image is None:
            return False
        if not is_ours(image):
            raise Refused(f"{self._path(name)} is not ours", "delete it by hand")
        with opened(root, name + SUFFIX, os.O_RDWR) as fd:
            if files.in_qemu(fd):
                raise Transient(f"{self._path(name)} is open in QEMU", "stop the VM or the job that uses it")
        return True

    def _path(self, name: str) -> str:
        return f"{self._target.path.rstrip('/')}/{name}{SUFFIX}"

    @contextmanager
    def _locked(self) -> Iterator[tuple[int, int]]:
        """The pool's directory and ``.cell`` in it (made when missing), while nobody else writes."""
        with suppress(FileExistsError):
            os.mkdir(f"{self._target.path}/{CELL}", 0o700)
        with (
            files.pool_directory(self._target.path) as (root, cell),
            opened(cell, "lock", os.O_RDWR | os.O_CREAT, 0o600) as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield root, cell

    def _reading(self, work: Callable[[], T]) -> T:
        try:
            return self._deadline.call(work, SECONDS)
        except OSError as error:
            raise Unreachable(self._source, error.strerror or str(error)) from error

    def _writing(self, work: Callable[[], T], sign: Callable[[], float] | None = None) -> T:
        """``sign`` as of ``Deadline.call``: of work that reads from elsewhere too. If that hangs, the pool does not."""
        try:
            if sign is not None:
                return self._filling.call(work, SILENCE, sign)
            return self._deadline.call(work, SECONDS)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in _NO_SERVER:
                raise Unreachable(self._source, reason) from error
            where = f"{self._target.path}/{error.filename}" if isinstance(error.filename, str) else self._target.path
            raise StepFailed(f"{where}: {reason}", _ADVICE.get(error.errno or 0, "")) from error


_ADVICE = {
    errno.ENOSPC: "free space in it, or enlarge it",
    errno.EDQUOT: "raise the quota",
    errno.EROFS: "the file system is read-only: look for errors in the kernel log",
    errno.EPERM: "the file system must have hard links and allow root to write",
    errno.EOPNOTSUPP: "the file system must have hard links",
    errno.ENOENT: "the directory or the file is gone; the next run makes it again",
}
