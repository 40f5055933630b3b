"""Facts of many RBD images without opening one: keys of their header objects, one read each, many in flight.

Opening an image costs several round trips one after the other (3.6 ms against 0.03 ms). The keys are those of Ceph's
class ``rbd`` (cls_rbd.cc: size, features, metadata_*), and the encodings too: little endian, strings with a 32 bit
length before them. One read of three keys takes a third of the time of a call of the class for each.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

MARK = "cell/mark"  # our image-meta
IN_FLIGHT = 256

_META = f"metadata_{MARK}"
_KEYS = ("size", "features", _META)


class Header(msgspec.Struct, frozen=True):
    """Size in bytes, RBD_FEATURE_* bits, and our image-meta as it stands (None: there is none)."""

    size: int
    features: int
    mark: bytes | None


def string(text: str) -> bytes:
    """Ceph's encoding of a string."""
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def unstring(data: bytes) -> bytes:
    """What ``string`` and a bufferlist encode."""
    (length,) = struct.unpack_from("<I", data)
    return data[4 : 4 + length]


def read_headers(ioctx: Any, ids: Iterable[str], error: Callable[..., Exception]) -> dict[str, Header]:
    """Headers by image id; an image that is deleted meanwhile is left out. Raises as ``read_all``."""
    return read_all(ioctx, ids, _Header, error)


T = TypeVar("T")


class Read(Generic[T]):
    """One operation on its way. Nobody is called back: a callback of Python for each costs more than the read."""

    def __init__(self, ioctx: Any, image: str) -> None:
        self.image = image
        self.ioctx = ioctx
        self.operation = ioctx.create_read_op()
        self.ask()
        self._completion = ioctx.operate_aio_read_op(self.operation, f"rbd_header.{image}")

    def ask(self) -> None:
        """Put into the operation what is to be read."""
        raise NotImplementedError

    def answer(self) -> T | None:
        """What came of it; None for an object that is gone, or half gone."""
        raise NotImplementedError

    def failure(self) -> int:
        """Waits for the end. The errno, 0 when it succeeded or there is no such object."""
        self._completion.wait_for_complete()
        result: int = self._completion.get_return_value()
        return -result if result < 0 and result != -errno.ENOENT else 0


def read_all(ioctx: Any, ids: Iterable[str], kind: type[Read[T]], error: Callable[..., Exception]) -> dict[str, T]:
    """Answers by image id; an image that is deleted meanwhile is left out.

    Raises ``error(message, errno=…)`` (``rados.OSError``) for the first operation that fails otherwise; whatever is
    in flight has come back by then: each operation ends by itself, at the latest with librados' timeout.
    """
    reads: list[Read[T]] = []
    failed = 0
    try:
        for image in ids:
            if len(reads) >= IN_FLIGHT and (failed := reads[-IN_FLIGHT].failure()):
                break
            reads.append(kind(ioctx, image))
        for read in reads:
            failed = read.failure() or failed
        if failed:
            raise error(f"reading image headers failed: {errno.errorcode.get(failed)}", errno=failed)
        return {read.image: answer for read in reads if (answer := read.answer()) is not None}
    finally:
        for read in reads:
            read.failure()  # so that none is on its way when it is released
            ioctx.release_read_op(read.operation)


class _Header(Read[Header]):
    def ask(self) -> None:
        self._answer, _ = self.ioctx.get_omap_vals_by_keys(self.operation, _KEYS)

    def answer(self) -> Header | None:
        found = dict(self._answer)
        if "size" not in found or "features" not in found:
            return None
        (size,), (features,) = (struct.unpack("<Q", found[key]) for key in ("size", "features"))
        return Header(size, features, found.get(_META))
