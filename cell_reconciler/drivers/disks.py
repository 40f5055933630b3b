"""Disks that are on no pool: who has one open, asked of QEMU's locks, of the kernel, or of Ceph; and whether it is RAW.

Answers are about this moment only; what may not be shared is asked for right before it is opened. Of a file QEMU's
own locks tell, also over NFS. A block device the kernel lends exclusively to file systems, swap, LVM, RAID and
multipath (``O_EXCL``); who else has it open for writing shows in ``/proc``. Of a LUN that QEMU logs in to by itself
nobody on this host can tell.
"""

from __future__ import annotations

import errno
import os
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cell_reconciler.drivers import directory_files as files
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.image_formats import HEAD, not_raw
from cell_reconciler.drivers.pool_deadline import Deadline
from cell_reconciler.errors import Unreachable
from cell_reconciler.model.storage import DiskSource, PoolTarget

if TYPE_CHECKING:
    from cell_reconciler.drivers.ceph import CephDoor

SECONDS = 10.0  # a path that takes longer (NFS without its server, a LUN without paths) is unreachable
_ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM)  # opening it fails, and says why

T = TypeVar("T")
SecretValue = Callable[[str, str], bytes]  # UUID or usage of a libvirt secret → its value


class DiskDoor:
    """Sources that no StoragePool declares. Raises Unreachable for one that does not answer."""

    def __init__(self, secret: SecretValue, writes: Writes) -> None:
        self._secret = secret
        self._writes = writes
        self._deadlines: dict[str, Deadline] = {}
        self._ceph: dict[DiskSource, CephDoor] = {}

    def users(self, source: DiskSource, *, shared: bool = False) -> tuple[str, ...]:
        """Who has it open for writing now, in words; empty when nobody has, or when there is no such thing.

        ``shared``: other VMs may; then only the host itself counts.
        """
        if source.backend == "block":
            return self._asked(source, lambda: _holder(source.path) or (() if shared else _openers(source.path)), ())
        if shared:
            return ()
        if source.backend == "file":
            return self._asked(source, lambda: _locks(source.path), ())
        return self._pool(source).users(source.image.split("/")[-1]) if source.backend == "rbd" else ()

    def not_raw(self, source: DiskSource) -> str:
        """What the data are when they are no RAW image, in words: empty when they may be, or cannot be read here."""
        if source.backend in ("file", "block"):
            return not_raw(self._asked(source, lambda: _begin(source.path), b""))
        if source.backend == "rbd":
            return not_raw(self._pool(source).begin(source.image.split("/")[-1], HEAD))
        return ""

    def close(self) -> None:
        """Close the connections; they open again when used again."""
        while self._ceph:
            self._ceph.popitem()[1].close()

    def _asked(self, source: DiskSource, work: Callable[[], T], absent: T) -> T:
        deadline = self._deadlines.setdefault(source.place, Deadline(source.place))
        try:
            return deadline.call(work, SECONDS)
        except OSError as error:
            if error.errno in _ABSENT:
                return absent
            raise Unreachable(source.place, error.strerror or str(error)) from error

    def _pool(self, source: DiskSource) -> CephDoor:
        """By the login that the VM itself has: the key is libvirt's, and stays in memory."""
        from cell_reconciler.drivers.ceph import CephDoor

        pool, *between, _ = source.image.split("/")
        if source not in self._ceph:
            target = PoolTarget(
                name="",
                backend="rbd",
                monitors=source.hosts,
                pool=pool,
                namespace="/".join(between),
                user=source.user or "admin",
            )
            self._ceph[source] = CephDoor(target, self._writes, lambda: self._key(source))
        return self._ceph[source]

    def _key(self, source: DiskSource) -> str:
        return b64encode(self._secret(source.secret_uuid, source.secret_usage)).decode() if source.user else ""


def _begin(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(fd, HEAD, 0)
    finally:
        os.close(fd)


def _locks(path: str) -> tuple[str, ...]:
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return ("QEMU",) if stat.S_ISREG(os.fstat(fd).st_mode) and files.in_qemu(fd) else ()
    finally:
        os.close(fd)


def _holder(path: str) -> tuple[str, ...]:
    """The kernel itself: it lends a device that is mounted, or a part of another one, to nobody else exclusively."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return (f"this host itself (lsblk {path} shows what is on it)",)
        raise
    return ()


def _openers(path: str) -> tuple[str, ...]:
    """Processes that write to the device, a part of it or what it is made of: ``qemu-system-x86 (4711)``."""
    facts = os.stat(path)
    if not stat.S_ISBLK(facts.st_mode):
        return ()
    numbers = set(_related(facts.st_rdev))
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile
            if any(_writes_to(process, fd, numbers) for fd in os.listdir(process / "fd")):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
    return tuple(sorted(found))


def _writes_to(process: Path, fd: str, numbers: set[int]) -> bool:
    with suppress(OSError):
        facts = os.stat(process / "fd" / fd)
        if stat.S_ISBLK(facts.st_mode) and facts.st_rdev in numbers:
            flags = (process / "fdinfo" / fd).read_text().partition("flags:")[2].split()[0]
            return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def _related(number: int) -> Iterator[int]:
    """The device, its partitions, the disk that it is a partition of, and what it is made of, all the way down."""
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not device.exists():
        return
    device = device.resolve()
    whole = device.parent if (device / "partition").exists() else device
    yield number
    yield from (_number(part.parent) for part in whole.glob("*/partition") if whole == device)
    if whole != device:
        yield _number(whole)
    for slave in whole.glob("slaves/*"):
        yield from _related(_number(slave))


def _number(device: Path) -> int:
    major, _, minor = (device / "dev").read_text().strip().partition(":")
    return os.makedev(int(major), int(minor))
