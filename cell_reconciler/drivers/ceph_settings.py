"""Options of librbd for one image: image-meta that begins with ``conf_``. librbd checks names and values itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from cell_reconciler.drivers.ceph_details import CONF
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.errors import Refused


def write(image: Any, values: Mapping[str, str], unset: Collection[str], place: str, writes: Writes, rbd: Any) -> None:
    """Set and unset them on an open image. Raises Refused for an option that this librbd does not know or take."""
    for name, value in values.items():
        writes.add("rbd.metadata_set")
        try:
            image.metadata_set(CONF + name, value)
        except rbd.InvalidArgument as error:
            message = f"librbd does not take {name} = {value} for image {place}"
            raise Refused(message, f"`rbd config image list {place}` shows its options") from error
    for name in unset:
        writes.add("rbd.metadata_remove")
        with suppress(KeyError):
            image.metadata_remove(CONF + name)
