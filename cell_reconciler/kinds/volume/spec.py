"""The fields of Volume."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.placement import Placed
from cell_reconciler.kinds.volume.schedule import Schedule
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Bytes, Duration


class ReclaimPolicy(StrEnum):
    """What becomes of the data when the document is gone (prune on): Kubernetes' words, RBD's trash."""

    RETAIN = "Retain"  # nothing: it stays, and declaring it again finds it
    TRASH = "Trash"  # moved out of the way, restorable by hand
    DELETE = "Delete"  # destroyed


TRASH_FOR = Duration.parse("7d")
Value = str | int | bool  # of an option of librbd
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"  # of an image or a snapshot: nothing that a path or an image spec splits

Checksum = Annotated[
    str,
    doc(
        "`sha256:` and the 64 hexadecimal digits that `sha256sum` prints. Other content never becomes the volume.",
        Effect.POLICY,
        pattern=r"^sha256:[0-9a-f]{64}$",
    ),
]


class CloneSource(Spec, frozen=True, kw_only=True):
    """An image of the same pool. Exactly one of `volume` and `image`."""

    volume: Annotated[str, doc("Name of a Volume document.", Effect.POLICY, pattern=_NAME)] | UnsetType = UNSET
    image: (
        Annotated[str, doc("Name of an image of the pool that no document declares.", Effect.POLICY, pattern=_NAME)]
        | UnsetType
    ) = UNSET
    snapshot: (
        Annotated[
            str,
            doc(
                "Its snapshot that is cloned: required in an `rbd` pool, where the clone shares its data until they "
                "are written. In a `directory` pool, which has none, the file is copied as it is.",
                Effect.POLICY,
                pattern=_NAME,
            ),
        ]
        | UnsetType
    ) = UNSET
    flatten: Annotated[
        bool,
        doc("`rbd` only: copy the data too, so that the snapshot and its image can be deleted.", Effect.POLICY),
    ] = False


class FileSource(Spec, frozen=True, kw_only=True):
    """A file of this host."""

    path: Annotated[
        str,
        doc(
            "Absolute path of a RAW image.",
            Effect.POLICY,
            pattern=r"^/[^\x00-\x1f]*$",
            examples=["/srv/images/debian-12.raw"],
        ),
    ]
    checksum: Checksum


class UrlSource(Spec, frozen=True, kw_only=True):
    """A file of a web server."""

    url: Annotated[
        str,
        doc(
            "`https://` or `http://` address of a RAW image.",
            Effect.POLICY,
            pattern=r"^https?://[^\x00-\x20]+$",
            examples=["https://images.example.org/debian-12.raw"],
        ),
    ]
    checksum: Checksum


class VolumeSource(Spec, frozen=True, kw_only=True):
    """What a new volume begins with. Exactly one of `clone`, `file` and `url`."""

    clone: Annotated[CloneSource, doc("Another image of the same pool.", Effect.POLICY)] | UnsetType = UNSET
    file: Annotated[FileSource, doc("A file of this host.", Effect.POLICY)] | UnsetType = UNSET
    url: Annotated[UrlSource, doc("A file of a web server.", Effect.POLICY)] | UnsetType = UNSET


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
    source: (
        Annotated[
            VolumeSource,
            doc(
                "What the volume holds when it is made; absent: zeros. It counts at that moment only: changing or "
                "removing it later changes nothing. `size` may be larger than the source, never smaller.",
                Effect.POLICY,
            ),
        ]
        | UnsetType
    ) = UNSET
    reclaim_policy: Annotated[
        ReclaimPolicy,
        doc(
            "What becomes of the data when this document is removed and pruning is on: "
            "`Retain` keeps it, `Trash` moves it out of the way, `Delete` destroys it.",
            Effect.POLICY,
        ),
    ] = ReclaimPolicy.RETAIN
    trash_for: Annotated[
        Duration,
        doc(
            "With `reclaimPolicy: Trash`: how long it lies in the trash at least. Until then neither `cellctl trash "
            "purge` nor, in an `rbd` pool, `rbd trash purge` takes it away.",
            Effect.POLICY,
            examples=["30d"],
        ),
    ] = TRASH_FOR
    snapshots: (
        Annotated[
            Schedule,
            doc(
                "`rbd` only: snapshots that are taken by schedule, crash-consistent, by `cellctl run` and `apply`. "
                "Absent: none is taken any more, and those that are there stay.",
                Effect.POLICY,
            ),
        ]
        | UnsetType
    ) = UNSET
    settings: Annotated[
        dict[
            Annotated[str, doc("Name of the option.", pattern=r"^rbd_[a-z0-9_]+$")],
            Annotated[Value, doc("Its value.")],
        ],
        doc(
            "`rbd` only: options of librbd for this image alone, as `rbd config image set` sets them. Limits "
            "(`rbd_qos_…`) count at once, caches when the image is opened the next time. One that is taken out of the "
            "document is unset; what others set stays.",
            Effect.LIVE,
            examples=[{"rbd_qos_iops_limit": 2000, "rbd_read_from_replica_policy": "localize"}],
        ),
    ] = {}
