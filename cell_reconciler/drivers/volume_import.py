"""Reads a RAW image from outside a pool, block by block, and vouches for it at the end.

The checksum is of the very bytes that were handed out: a file that changes meanwhile, or a download that somebody
tampered with, ends in an error before the volume has its name.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import stat
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from cell_reconciler.drivers.image_formats import not_raw
from cell_reconciler.drivers.pool_progress import Meter
from cell_reconciler.errors import Refused, StepFailed
from cell_reconciler.model.storage import Import

BLOCK = 4 * 2**20  # bytes read at a time: an object of an RBD image
PIECE = 64 * 2**10  # bytes of zeros that are left out
SILENCE = 30.0  # seconds that a web server may say nothing

_ZEROS = bytes(BLOCK)


def blocks(origin: Import, size: int, meter: Meter) -> Iterator[tuple[int, bytes]]:
    """Offset and content of all that is not zeros. The one who uses it must come to its end: that is the check.

    Raises Refused when the content is larger than ``size``, no RAW image, or has another checksum; StepFailed when it
    cannot be read, or ends early.
    """
    digest, done = hashlib.sha256(), 0
    with _opened(origin) as (file, total):
        _fits(origin, total or 0, size)
        while block := _read(origin, file):
            if not done:
                _raw(origin, block)
            digest.update(block)
            _fits(origin, done + len(block), size)
            for offset, data in pieces(block):
                yield done + offset, data
            done += len(block)
            meter.at(done, total)
    if total is not None and done != total:
        raise StepFailed(f"{origin.place} ended after {done} of {total} bytes", "the next run begins anew")
    if digest.hexdigest() != origin.sha256:
        advice = "if that is the image you mean, correct the checksum; otherwise fetch it again"
        raise Refused(f"{origin.place} has checksum sha256:{digest.hexdigest()}, not sha256:{origin.sha256}", advice)


def pieces(block: bytes) -> Iterator[tuple[int, bytes]]:
    """The runs of pieces in a block that are not all zeros, with their offset."""
    if block == _ZEROS[: len(block)]:
        return
    start = 0
    for offset in range(0, len(block), PIECE):
        piece = block[offset : offset + PIECE]
        if piece == _ZEROS[: len(piece)]:
            if start < offset:
                yield start, block[start:offset]
            start = offset + PIECE
    if start < len(block):
        yield start, block[start:]


def too_large(place: str, have: int, size: int) -> Refused:
    """The error of a source that does not fit into its volume."""
    return Refused(f"{place} has {have} bytes, and the volume only {size}", "set size to that of the source or more")


def _fits(origin: Import, have: int, size: int) -> None:
    if have > size:
        raise too_large(origin.place, have, size)


def _raw(origin: Import, begin: bytes) -> None:
    if what := not_raw(begin):
        raise Refused(f"{origin.place} is {what}, and volumes are RAW", "`qemu-img convert -O raw`, or unpack it")


@contextmanager
def _opened(origin: Import) -> Iterator[tuple[BinaryIO, int | None]]:
    """The content, and how many bytes it has, where that is known."""
    try:
        file, total = _file(origin.path) if origin.path else _answer(origin.url)
    except (OSError, http.client.HTTPException) as error:
        raise _unreadable(origin, error) from error
    with file:
        yield file, total


def _file(path: str) -> tuple[BinaryIO, int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not make us wait
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        raise Refused(f"{path} is no regular file", "name a file with a RAW image")
    return os.fdopen(fd, "rb", buffering=0), facts.st_size


def _answer(url: str) -> tuple[BinaryIO, int | None]:
    answer = urllib.request.urlopen(url, timeout=SILENCE)  # noqa: S310  # the schema allows http and https only
    if not isinstance(answer, http.client.HTTPResponse):  # it follows redirections to FTP too
        answer.close()
        raise Refused(f"{url} leads to {answer.url}", "name an http:// or https:// address that has the image")
    return cast(BinaryIO, answer), answer.length


def _read(origin: Import, file: BinaryIO) -> bytes:
    try:
        if isinstance(file, http.client.HTTPResponse):
            return file.read1(BLOCK)  # what has arrived: a slow server is not a dead one
        return file.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _unreadable(origin, error) from error


def _unreadable(origin: Import, error: Exception) -> StepFailed:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return StepFailed(f"{origin.place} cannot be read: {reason}", "bring it there; the next run begins anew")
