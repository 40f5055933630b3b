"""Snapshots and settings of some images, read as ``ceph_headers`` reads: one operation for each image, many in flight.

The keys and encodings are again those of Ceph's class ``rbd`` (cls_rbd_types: ``cls_rbd_snap``, versions of Nautilus
and later). What an older Ceph wrote is not guessed at: such an image has unknown snapshots.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from cell_reconciler.drivers.ceph_headers import Read, read_all, unstring
from cell_reconciler.model.live import Snapshot

CONF = "conf_"  # image-meta that librbd takes as an option of the image
_SNAPSHOTS, _SETTINGS = "snapshot_", f"metadata_{CONF}"
_MOST = 1000  # keys of one kind; librbd ends at about 500 snapshots
_USER = 0  # RBD_SNAP_NAMESPACE_TYPE_USER


class Details(msgspec.Struct, frozen=True):
    """``snapshots`` None: they cannot be told."""

    snapshots: tuple[Snapshot, ...] | None
    settings: dict[str, str]


def read_details(ioctx: Any, ids: Iterable[str], error: Callable[..., Exception]) -> dict[str, Details]:
    """Details by image id; raises as ``ceph_headers.read_headers``."""
    return read_all(ioctx, ids, _Details, error)


class _Details(Read[Details]):
    def ask(self) -> None:
        self._snapshots, _ = self.ioctx.get_omap_vals(self.operation, "", _SNAPSHOTS, _MOST)
        self._settings, _ = self.ioctx.get_omap_vals(self.operation, "", _SETTINGS, _MOST)

    def answer(self) -> Details:
        settings = {key.removeprefix(_SETTINGS): value.decode(errors="replace") for key, value in self._settings}
        try:
            found = tuple(snapshot for _, data in self._snapshots for snapshot in _snapshot(data))
        except (struct.error, ValueError):
            return Details(None, settings)
        return Details(found, settings)


def _snapshot(data: bytes) -> Iterator[Snapshot]:
    """Id, name, size, protection, flags, namespace, timestamp, number of clones, overlap.

    Nothing for snapshots of groups, of mirrors and in the trash. Raises struct.error, and ValueError for an encoding
    that is not known.
    """
    _, compat, _ = struct.unpack_from("<BBI", data)
    if compat != 8:
        raise ValueError(f"encoding {compat} of a snapshot")
    name = unstring(data[14:])
    at = 14 + 4 + len(name) + 8
    (protection,) = struct.unpack_from("<B", data, at)
    at += 1 + 8
    _, _, length = struct.unpack_from("<BBI", data, at)
    (namespace,) = struct.unpack_from("<I", data, at + 6)
    at += 6 + length
    (clones,) = struct.unpack_from("<I", data, at + 8)
    if namespace == _USER:
        yield Snapshot(name=name.decode(), held=protection != 0 or clones > 0)
