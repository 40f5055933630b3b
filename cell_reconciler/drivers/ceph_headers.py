"""Facts of many RBD images without opening one: object class calls on their header objects, many in flight.

Opening an image costs several round trips one after the other (3.6 ms against 0.05 ms). The encodings are those of
Ceph's class ``rbd`` (get_size, metadata_get, dir_get_name): little endian, strings with a 32 bit length before them.
"""

from __future__ import annotations

import errno
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

MARK = "cell/mark"  # our image-meta
IN_FLIGHT = 256

_HEAD = struct.pack("<Q", 2**64 - 2)  # CEPH_NOSNAP: the image itself, not a snapshot of it
_LENGTH = 4096  # of an answer; our records are far below


class Header(msgspec.Struct, frozen=True):
    """Size in bytes, and our image-meta as it stands (None: there is none)."""

    size: int
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
    """Headers by image id; an image that is deleted meanwhile is left out.

    Raises ``error(message, errno=…)`` (``rados.OSError``) for the first operation that fails otherwise; whatever is
    in flight has come back by then.
    """
    reader = _Reader(ioctx)
    for image in ids:
        reader.ask(image, "get_size", _HEAD)
        reader.ask(image, "metadata_get", string(MARK))
        if reader.failed:
            break
    reader.drain()
    if reader.failed:
        raise error(f"reading image headers failed: {errno.errorcode.get(reader.failed)}", errno=reader.failed)
    return {
        image: Header(struct.unpack("<BQ", data[:9])[1], _mark(reader.answers.get((image, "metadata_get"))))
        for (image, method), data in reader.answers.items()
        if method == "get_size"
    }


def _mark(data: bytes | None) -> bytes | None:
    return None if data is None else unstring(data)


class _Reader:
    """Keeps up to ``IN_FLIGHT`` operations on their way. Answers arrive in a thread of librados."""

    def __init__(self, ioctx: Any) -> None:
        self._ioctx = ioctx
        self._room = threading.Semaphore(IN_FLIGHT)
        self._pending: set[Any] = set()
        self.answers: dict[tuple[str, str], bytes] = {}
        self.failed = 0  # errno of the first failure

    def ask(self, image: str, method: str, data: bytes) -> None:
        self._room.acquire()

        def answer(completion: Any, out: bytes | None) -> None:
            result = completion.get_return_value()
            if result >= 0:
                self.answers[image, method] = out or b""
            elif result != -errno.ENOENT:
                self.failed = self.failed or -result
            self._room.release()

        try:
            self._ioctx.aio_execute(f"rbd_header.{image}", "rbd", method, data, _LENGTH, answer)
        except BaseException:
            self._room.release()
            raise

    def drain(self) -> None:
        """Wait until nothing is in flight; each operation ends by itself, at the latest with librados' timeout."""
        for _ in range(IN_FLIGHT):
            self._room.acquire()
