"""How an RBD image comes into being with its mark, whatever kills us on the way.

It is made under a temporary name that says which host makes it, gets its mark, and then its name: RBD's rename never
replaces. What a killed creation left is taken away by the next one of the same volume on the same host.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cell_reconciler.drivers.ceph_headers import MARK, unstring
from cell_reconciler.drivers.pool_record import Record
from cell_reconciler.model.mark import Mark

TEMPORARY = ".cell-tmp."


def temporary(name: str) -> str:
    """The name under which this host makes a volume."""
    return f"{TEMPORARY}{os.uname().nodename}.{name}"


def make(ioctx: Any, name: str, size: int, mark: Mark, notes: Mapping[str, str] | None, rbd: Any) -> bool:
    """A new image with its mark. False, and nothing made, when somebody took the name meanwhile."""
    draft = temporary(name)
    rbd.RBD().create(ioctx, draft, size, old_format=False)
    with rbd.Image(ioctx, draft) as image:
        write_mark(image, mark, notes)
    try:
        rbd.RBD().rename(ioctx, draft, name)
    except rbd.ImageExists:
        rbd.RBD().remove(ioctx, draft)
        return False
    return True


def write_mark(image: Any, mark: Mark, notes: Mapping[str, str] | None) -> None:
    """Into the image-meta of an open image. ``notes`` None: those that are there stay."""
    identity = image.id()
    if notes is None:
        old = next((value for key, value in image.metadata_list() if key == MARK), None)
        record = Record.parse(old.encode() if old else None, identity)
        notes = record.notes if record else None
    image.metadata_set(MARK, Record.make(mark, identity, notes).to_bytes().decode())


def leftover(ioctx: Any, name: str, rados: Any) -> bool:
    """Did a creation of this volume end half-way on this host?"""
    try:
        ioctx.stat(f"rbd_id.{temporary(name)}")
    except rados.ObjectNotFound:
        return False
    return True


def clean(ioctx: Any, name: str, rados: Any, rbd: Any) -> None:
    """Take away what it left, and nothing else.

    A rename writes the new id object, then the directory, then deletes the old id object. So the directory decides:
    only while it calls the image by the temporary name, the data and the new id object are a leftover.
    """
    draft = temporary(name)
    identity = ioctx.read(f"rbd_id.{draft}")
    entry = b""
    with suppress(rados.ObjectNotFound):
        entry = unstring(ioctx.execute("rbd_directory", "rbd", "dir_get_name", identity, 512)[1])
    if entry.decode() != draft:
        ioctx.remove_object(f"rbd_id.{draft}")
        return
    with suppress(rados.ObjectNotFound):
        if ioctx.read(f"rbd_id.{name}") == identity:
            ioctx.remove_object(f"rbd_id.{name}")
    rbd.RBD().remove(ioctx, draft)
