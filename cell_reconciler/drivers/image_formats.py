"""What an image is when it is not RAW, by how it begins: as a RAW disk it would be garbage to a guest."""

from __future__ import annotations

HEAD = 8  # bytes that tell

_BEGINNINGS = {
    b"QFI\xfb": "a qcow2 image",
    b"KDMV": "a VMDK image",
    b"vhdxfile": "a VHDX image",
    b"\x1f\x8b\x08": "packed with gzip",
    b"\xfd7zXZ\x00": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
}


def not_raw(begin: bytes) -> str:
    """The format of what begins so, in words; empty for what may be RAW."""
    return next((what for magic, what in _BEGINNINGS.items() if begin.startswith(magic)), "")
