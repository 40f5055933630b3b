"""How an RBD image comes into being with its mark, whatever kills us on the way.

It is made under a temporary name that says which host makes it, gets its data and its mark, and then its name: RBD's
rename never replaces. What a killed creation left is taken away by the next one of the same volume on the same host.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from cell_reconciler.drivers.ceph_headers import MARK, string, unstring
from cell_reconciler.drivers.pool_progress import Meter
from cell_reconciler.drivers.pool_record import Record
from cell_reconciler.drivers.volume_import import blocks, too_large
from cell_reconciler.errors import CellError, Refused, StepFailed, Transient
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import Clone, Import, Origin

TEMPORARY = ".cell-tmp."


def temporary(name: str) -> str:
    """The name under which this host makes a volume."""
    return f"{TEMPORARY}{os.uname().nodename}.{name}"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made: see ``pools.PoolDoor.create``."""

    name: str
    size: int
    mark: Mark
    notes: Mapping[str, str] | None
    origin: Origin | None


def make(ioctx: Any, order: Order, meter: Meter, rbd: Any) -> bool:
    """A new image with its data and its mark. False, and nothing made, when somebody took the name meanwhile."""
    draft = temporary(order.name)
    if isinstance(order.origin, Clone):
        _clone(ioctx, draft, order.origin, rbd)
    else:
        rbd.RBD().create(ioctx, draft, order.size, old_format=False)
    try:
        with rbd.Image(ioctx, draft) as image:
            _fill(image, order, meter)
            write_mark(image, order.mark, order.notes)
    except CellError:  # of the source: Ceph answers. What fails in Ceph itself is left to the next creation
        rbd.RBD().remove(ioctx, draft, on_progress=meter.objects)
        raise
    try:
        rbd.RBD().rename(ioctx, draft, order.name)
    except rbd.ImageExists:
        rbd.RBD().remove(ioctx, draft, on_progress=meter.objects)
        return False
    return True


def _clone(ioctx: Any, draft: str, origin: Clone, rbd: Any) -> None:
    """The source is not looked at before: librbd 16.2 sometimes hangs or aborts in the clone of an image that the same
    process has just closed (measured: within 50 to 200 clones; none of 400 without).
    """
    place = f"{origin.image}@{origin.snapshot}"
    try:
        rbd.RBD().clone(ioctx, origin.image, origin.snapshot, ioctx, draft)
    except rbd.ImageNotFound as error:
        raise StepFailed(f"{place} does not exist", f"make it with `rbd snap create POOL/{place}`") from error
    except rbd.InvalidArgument as error:
        with rbd.Image(ioctx, origin.image, snapshot=origin.snapshot, read_only=True) as parent:
            protected = parent.is_protected_snap(origin.snapshot)
        if protected:
            raise Refused(f"{place} cannot be cloned: {error}", "the image needs the feature layering") from error
        advice = f"protect it: `rbd snap protect POOL/{place}`; or `ceph osd set-require-min-compat-client mimic`"
        raise Refused(f"{place} is not protected, and this cluster clones protected snapshots only", advice) from error


def _fill(image: Any, order: Order, meter: Meter) -> None:
    origin = order.origin
    if isinstance(origin, Import):
        for offset, data in blocks(origin, order.size, meter):
            image.write(data, offset)
        image.flush()
    elif origin is not None:
        if (have := image.size()) > order.size:
            raise too_large(f"{origin.image}@{origin.snapshot}", have, order.size)
        if have < order.size:
            image.resize(order.size, allow_shrink=False)
        if origin.flatten:
            image.flatten(on_progress=meter.objects)


def write_mark(image: Any, mark: Mark, notes: Mapping[str, str] | None) -> None:
    """Into the image-meta of an open image. ``notes`` None: those that are there stay."""
    identity = image.id()
    if notes is None:
        old = next((value for key, value in image.metadata_list() if key == MARK), None)
        record = Record.parse(old.encode() if old else None, identity)
        notes = record.notes if record else None
    image.metadata_set(MARK, Record.make(mark, identity, notes).to_bytes().decode())


def leftover(ioctx: Any, name: str, rados: Any) -> bool:
    """Did a creation of this volume end half-way on this host, or the removal of what such a one left?

    A creation writes the id object first, and a removal takes the directory's entry last.
    """
    draft = temporary(name)
    with suppress(rados.ObjectNotFound):
        ioctx.stat(f"rbd_id.{draft}")
        return True
    with suppress(rados.ObjectNotFound):
        ioctx.execute("rbd_directory", "rbd", "dir_get_id", string(draft), 256)
        return True
    return False


def clean(ioctx: Any, name: str, meter: Meter, rados: Any, rbd: Any) -> None:
    """Take away what it left, and nothing else. Raises Transient while it is still open.

    A rename writes the new id object, then the directory, then deletes the old id object. So the directory decides:
    only while it calls the image by the temporary name, the data and the new id object are a leftover.
    """
    draft = temporary(name)
    with suppress(rados.ObjectNotFound):
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
    try:
        rbd.RBD().remove(ioctx, draft, on_progress=meter.objects)
    except rbd.ImageBusy as error:
        advice = "another run makes it, or died: the watch of a client that died ends after 30 s"
        raise Transient(f"volume {name} is being made", advice) from error
