"""How a file of a directory pool comes into being: as ``.cell/NAME.tmp``, which gets its name once all is on disk.

Whoever fills it for long holds it (flock) instead of the pool's lock. So a draft that nobody holds is what a killed
run left, and goes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from cell_reconciler.drivers import directory_files as files
from cell_reconciler.drivers.directory_files import SUFFIX, opened
from cell_reconciler.drivers.pool_progress import Meter
from cell_reconciler.drivers.volume_import import blocks, too_large
from cell_reconciler.errors import Refused, StepFailed, Transient
from cell_reconciler.model.storage import Clone, Import, Origin

CHUNK = 16 * 2**20  # bytes copied by one system call
SYNC = 256 * 2**20  # bytes after which they are brought to the disk, so that the last time does not take minutes


def clear(cell: int, name: str) -> None:
    """Take away the draft of a run that was killed. The caller holds the lock. Raises Transient while it is filled."""
    try:
        with opened(cell, f"{name}.tmp", os.O_RDWR) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            files.unlink(cell, f"{name}.tmp")
    except FileNotFoundError:
        return
    except BlockingIOError as error:
        raise Transient(f"volume {name} is being made", "wait until the other run has made it") from error


@contextmanager
def draft(cell: int, name: str) -> Iterator[int]:
    """The file descriptor of a new draft, held until the end; what has not got its name by then is taken away.

    The caller holds the lock of the pool at the beginning.
    """
    directory = os.dup(cell)
    try:
        with opened(directory, f"{name}.tmp", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                yield fd
            finally:
                files.unlink(directory, f"{name}.tmp")
    finally:
        os.close(directory)


def fill(fd: int, root: int, size: int, origin: Origin, meter: Meter) -> None:
    """Data and size of a draft, sparse and on disk when it returns. Raises as ``PoolDoor.create`` says."""
    if isinstance(origin, Clone):
        _copy(fd, root, size, origin, meter)
    else:
        _import(fd, size, origin, meter)
    os.ftruncate(fd, size)
    os.fsync(fd)


def _import(fd: int, size: int, origin: Import, meter: Meter) -> None:
    unsynced = 0
    for offset, data in blocks(origin, size, meter):
        done = 0
        while done < len(data):
            done += os.pwrite(fd, data[done:] if done else data, offset + done)
        unsynced = _synced(fd, unsynced + len(data))


def _copy(fd: int, root: int, size: int, origin: Clone, meter: Meter) -> None:
    with _still(root, origin.image) as (source, length):
        if length > size:
            raise too_large(origin.image + SUFFIX, length, size)
        unsynced = 0
        for start, end in _extents(source, length):
            at = start
            while at < end:
                count = os.copy_file_range(source, fd, min(end - at, CHUNK), at, at)
                if not count:
                    raise Transient(f"{origin.image}{SUFFIX} became shorter", "stop what writes to it")
                at += count
                unsynced = _synced(fd, unsynced + count)
                meter.at(at, length)


def _synced(fd: int, count: int) -> int:
    if count < SYNC:
        return count
    os.fdatasync(fd)
    return 0


@contextmanager
def _still(root: int, name: str) -> Iterator[tuple[int, int]]:
    """A volume that nobody writes to, and its size. Raises Transient when somebody does."""
    file = name + SUFFIX
    try:
        with opened(root, file, os.O_RDWR | os.O_NONBLOCK) as fd:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise Refused(f"{file} is no regular file", "name a volume of the pool")
            if files.in_qemu(fd):
                raise Transient(f"{file} is open in QEMU", "stop the VM, or clone another volume")
            yield fd, before.st_size
            after = os.fstat(fd)
            if files.in_qemu(fd) or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
                raise Transient(f"{file} changed while it was copied", "stop what writes to it")
    except FileNotFoundError as error:
        raise StepFailed(f"{file} does not exist", "declare it, or name another volume to clone") from error


def _extents(fd: int, length: int) -> Iterator[tuple[int, int]]:
    """Where the data are: begin and end of each stretch between holes."""
    end = 0
    while end < length:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # the rest is a hole
                raise
            return
        end = min(os.lseek(fd, start, os.SEEK_HOLE), length)
        if start < end:
            yield start, end
