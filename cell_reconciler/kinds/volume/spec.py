"""The fields of Volume."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.placement import Placed
from cell_reconciler.model.fields import Effect, doc
from cell_reconciler.model.quantities import Bytes


class ReclaimPolicy(StrEnum):
    """What becomes of the data when the document is gone (prune on): Kubernetes' words, RBD's trash."""

    RETAIN = "Retain"  # nothing: it stays, and declaring it again finds it
    TRASH = "Trash"  # moved out of the way, restorable by hand
    DELETE = "Delete"  # destroyed


class VolumeSpec(Placed, frozen=True, kw_only=True):
    """A RAW disk image in a storage pool. `metadata.name` is the name of the image."""

    pool: Annotated[
        str,
        doc("Name of its StoragePool; it does not move to another one.", Effect.IMMUTABLE, examples=["local"]),
    ]
    size: Annotated[
        Bytes,
        doc("A multiple of 512 bytes. It can grow and never shrinks.", Effect.LIVE, examples=["20GiB"]),
    ]
    reclaim_policy: Annotated[
        ReclaimPolicy,
        doc(
            "What becomes of the data when this document is removed and pruning is on: "
            "`Retain` keeps it, `Trash` moves it out of the way, `Delete` destroys it.",
            Effect.POLICY,
        ),
    ] = ReclaimPolicy.RETAIN
