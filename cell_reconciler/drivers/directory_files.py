"""Files of a directory pool, reached through open directories and never through a symbolic link."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cell_reconciler.drivers.pool_record import Record

SUFFIX = ".raw"
CELL = ".cell"

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOFOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
_GETVERSION = 0x80087601  # FS_IOC_GETVERSION of linux/fs.h: tells a reused inode number from the first one
_OFD_GETLK = 36  # F_OFD_GETLK of linux/fcntl.h
_LIBC = ctypes.CDLL(None, use_errno=True)  # for renameat2, which Python has not
_NOREPLACE = 1  # RENAME_NOREPLACE of linux/fs.h
_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, pid
_QEMU_LOCKS = (100, 200)  # start and length of the bytes on which QEMU's file driver says what it has open


@contextmanager
def opened(directory: int, name: str, flags: int, mode: int = 0) -> Iterator[int]:
    """A file descriptor of ``name`` in ``directory``. Raises OSError ELOOP for a symbolic link."""
    fd = os.open(name, flags | _NOFOLLOW, mode, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def pool_directory(path: str) -> Iterator[tuple[int, int]]:
    """The pool's directory and ``.cell`` in it (-1 when there is none). The pool itself may be a symbolic link."""
    root = os.open(path, DIRECTORY)
    cell = -1
    try:
        with suppress(FileNotFoundError):
            cell = os.open(CELL, DIRECTORY | _NOFOLLOW, dir_fd=root)
        yield root, cell
    finally:
        if cell >= 0:
            os.close(cell)
        os.close(root)


def volume_names(root: int) -> list[str]:
    """Sorted. What cannot be printed (or is not UTF-8) was not named by a spec."""
    names = [entry.removesuffix(SUFFIX) for entry in os.listdir(root) if entry.endswith(SUFFIX)]
    return sorted(name for name in names if name and not name.startswith(".") and name.isprintable())


def identity(fd: int) -> str:
    """Inode number and generation: a new file may get the number of a deleted one, but not both."""
    try:
        generation = struct.unpack_from("i", fcntl.ioctl(fd, _GETVERSION, bytes(8)))[0]
    except OSError:  # tmpfs, which does not reuse numbers, and NFS have none
        generation = "-"
    return f"{os.fstat(fd).st_ino}:{generation}"


def in_qemu(fd: int) -> bool:
    """Has a QEMU process (a VM, qemu-img, a block job) the file open? ``fd`` must be open for writing."""
    answer = fcntl.fcntl(fd, _OFD_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *_QEMU_LOCKS, 0))
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def read(cell: int, name: str) -> bytes | None:
    """The content of a small file, None when it is absent."""
    if cell < 0:
        return None
    try:
        with opened(cell, name, os.O_RDONLY | os.O_NONBLOCK) as fd:
            return os.read(fd, 65536)
    except FileNotFoundError:
        return None


def write(cell: int, name: str, record: Record) -> None:
    """All of it or nothing, and on disk when it returns."""
    draft = f".{name}.new"
    with opened(cell, draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) as fd:
        os.write(fd, record.to_bytes())
        os.fsync(fd)
    os.rename(draft, name, src_dir_fd=cell, dst_dir_fd=cell)
    os.fsync(cell)


def give_name(source: int, name: str, target: int, new: str) -> bool:
    """Move a file to its name; False when that is taken: nothing is ever replaced.

    In one step where the file system can, so that a run that is killed leaves one name. NFS cannot: there the file
    has both names for a moment, and the first one goes with the next change of the volume.
    """
    if _LIBC.renameat2(source, os.fsencode(name), target, os.fsencode(new), _NOREPLACE) == 0:
        return True
    error = ctypes.get_errno()
    if error not in (errno.EINVAL, errno.ENOSYS, errno.EEXIST):
        raise OSError(error, os.strerror(error), new)
    with suppress(FileExistsError):
        if error != errno.EEXIST:
            os.link(name, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            unlink(source, name)
            return True
    return False


def unlink(directory: int, name: str) -> None:
    """Idempotent."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
