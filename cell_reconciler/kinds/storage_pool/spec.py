"""The fields of StoragePool."""

from __future__ import annotations

from typing import Annotated

from cell_reconciler.kinds.placement import Placed
from cell_reconciler.kinds.secret import SecretRef
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc

# Names of pools, namespaces, users, credentials: nothing that a path, an image spec or a keyring splits.
_WORD = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
_USER = r"^[A-Za-z0-9_+-]+$"  # what libvirt's schema takes of a user in a disk of a VM
_ABSOLUTE = r"^/[^\x00-\x1f]*$"


class RbdPool(Spec, frozen=True, kw_only=True):
    """A Ceph pool, reached through librbd. The cluster's administrator makes and deletes it."""

    monitors: Annotated[
        tuple[str, ...],
        doc(
            "The cluster's monitors, `ADDRESS` or `ADDRESS:PORT`. Name all of them; the order means nothing.",
            Effect.POLICY,
            min_length=1,
            examples=[["10.0.0.11:6789", "10.0.0.12:6789", "10.0.0.13:6789"]],
        ),
    ]
    pool: Annotated[str, doc("Name of the Ceph pool.", Effect.POLICY, pattern=_WORD, examples=["rbd"])]
    user: Annotated[
        str,
        doc(
            "The cephx user, without `client.`. It needs `profile rbd`.",
            Effect.POLICY,
            pattern=_USER,
            examples=["cell"],
        ),
    ]
    secret: Annotated[
        SecretRef,
        doc("The cephx key of the user: as `ceph auth get-key` prints it, or a keyring file.", Effect.POLICY),
    ]
    namespace: (
        Annotated[str, doc("RBD namespace in the pool. Absent: the default one.", Effect.POLICY, pattern=_WORD)]
        | UnsetType
    ) = UNSET
    conf: (
        Annotated[
            str,
            doc(
                "Absolute path of a ceph.conf with further options of the client.",
                Effect.POLICY,
                pattern=_ABSOLUTE,
            ),
        ]
        | UnsetType
    ) = UNSET


class DirectoryPool(Spec, frozen=True, kw_only=True):
    """A directory of RAW sparse files."""

    path: Annotated[
        str,
        doc(
            "Absolute path. It is made when it does not exist, and is then removed with the pool once empty; "
            "a directory that exists is used as it is and never removed.",
            Effect.POLICY,
            pattern=_ABSOLUTE,
            examples=["/var/lib/libvirt/images/cell"],
        ),
    ]


class StoragePoolSpec(Placed, frozen=True, kw_only=True):
    """A place for volumes. Exactly one of `rbd` and `directory`. Changing where it is moves no volume."""

    rbd: Annotated[RbdPool, doc("A pool of a Ceph cluster.", Effect.POLICY)] | UnsetType = UNSET
    directory: Annotated[DirectoryPool, doc("A directory of this host.", Effect.POLICY)] | UnsetType = UNSET
