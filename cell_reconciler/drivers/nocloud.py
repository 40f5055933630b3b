"""A NoCloud image: the ISO 9660 file system, labelled ``cidata``, in which cloud-init looks for its data.

The same content always gives the same bytes: the library stamps what it makes with the time, so that every date is
set afterwards. The area that the primary descriptor leaves to applications says whose image it is, and has a digest of
each file, so that an image is compared by reading 2 KiB. Such a digest tells no more than the image that it stands in.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import msgspec

LABEL = "cidata"
_SECTOR = 2048
_DESCRIPTORS = 16 * _SECTOR  # where the volume descriptors begin (ECMA-119 6.2.1)
_LAST = 255  # type of the descriptor that ends them
_ROOT_DATE, _DATES, _USE = 174, 813, 883  # of the root directory, of the volume (four of 17 bytes), application use
_LENGTH = 512  # of the application use
_UNSAID = (b"0" * 16 + b"\0") * 4  # four dates that say nothing (8.4.26.1)
_EPOCH = bytes((80, 1, 1, 0, 0, 0, 0))  # 1 January 1980, for files


class Label(msgspec.Struct, frozen=True):
    """Whose image it is, and the digests of its files by name."""

    owner: str
    files: dict[str, str]


def digests(files: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of each file. To be kept where the file itself may be kept, and nowhere else."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())}


def image(owner: str, files: Mapping[str, str]) -> bytes:
    """The image. Raises ImportError without pycdlib."""
    import pycdlib
    from pycdlib.dates import DirectoryRecordDate

    iso: Any = pycdlib.PyCdlib()
    label = msgspec.json.encode(Label(owner, digests(files))).decode()
    # Level 4 takes names as they are, lower case and hyphens; Joliet is what Windows reads.
    iso.new(interchange_level=4, joliet=3, vol_ident=LABEL, app_use=label)
    try:
        for name, text in sorted(files.items()):
            data = text.encode()
            iso.add_fp(io.BytesIO(data), len(data), iso_path=f"/{name}", joliet_path=f"/{name}")
        date = DirectoryRecordDate()
        date.parse(_EPOCH)
        for tree in ({"iso_path": "/"}, {"joliet_path": "/"}):
            for record in iso.list_children(**tree):
                record.date = date
        written = io.BytesIO()
        iso.write_fp(written)
    finally:
        iso.close()
    return _undated(bytearray(written.getvalue()))


def _undated(data: bytearray) -> bytes:
    at = _DESCRIPTORS
    while data[at] != _LAST:
        data[at + _ROOT_DATE : at + _ROOT_DATE + len(_EPOCH)] = _EPOCH
        data[at + _DATES : at + _DATES + len(_UNSAID)] = _UNSAID
        at += _SECTOR
    return bytes(data)


HEADER = _DESCRIPTORS + _SECTOR  # bytes of an image that ``label`` needs


def label(header: bytes) -> Label | None:
    """The label of an image by its first bytes; None when it is none of ours."""
    descriptor = header[_DESCRIPTORS:HEADER]
    if descriptor[:6] != b"\x01CD001" or descriptor[40:72].rstrip() != LABEL.encode():
        return None
    try:
        return msgspec.json.decode(descriptor[_USE : _USE + _LENGTH].rstrip(b" \0"), type=Label)
    except msgspec.DecodeError:
        return None
