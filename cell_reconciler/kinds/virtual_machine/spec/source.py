"""Where a disk is that is on no Volume: an RBD image, a LUN, a file, a block device of the host.

``wanted`` and ``said`` turn the fields into what a domain opens, and back.
"""

from __future__ import annotations

import re
from typing import Annotated

from cell_reconciler.model.fields import PATH, UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.storage import DiskSource

_WORD = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"  # as of a StoragePool: nothing that an image spec splits
_NAME = r"^(iqn|eui|naa)\.[A-Za-z0-9.:_-]+$"  # of a target or an initiator: nothing that a URL splits
_USER = r"^[A-Za-z0-9_+-]+$"  # what libvirt's schema takes
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_PORT = 3260


class LibvirtSecret(Spec, frozen=True, kw_only=True):
    """A secret that libvirt keeps. Exactly one of `uuid` and `usage`; the value never stands in a spec."""

    uuid: Annotated[str, doc("Its UUID: `virsh secret-list`.", Effect.RESTART, pattern=_UUID)] | UnsetType = UNSET
    usage: (
        Annotated[
            str,
            doc(
                "Its usage: the name in `<usage>`. One with a `/` is named by its UUID.",
                Effect.RESTART,
                max_length=256,
                pattern=r"^[!-.0-~]([ -.0-~]*[!-.0-~])?$",  # libvirt's schema has no usage with a slash in a domain
            ),
        ]
        | UnsetType
    ) = UNSET


class RbdSource(Spec, frozen=True, kw_only=True):
    """An image of a Ceph pool. What a StoragePool declares is a `volume: POOL/NAME` rather."""

    monitors: Annotated[
        tuple[str, ...],
        doc(
            "The cluster's monitors, `ADDRESS` or `ADDRESS:PORT`. Name all of them; the order means nothing.",
            Effect.RESTART,
            min_length=1,
            examples=[["10.0.0.11:6789", "10.0.0.12:6789"]],
        ),
    ]
    pool: Annotated[str, doc("Name of the Ceph pool.", Effect.RESTART, pattern=_WORD)]
    namespace: (
        Annotated[str, doc("RBD namespace in the pool. Absent: the default one.", Effect.RESTART, pattern=_WORD)]
        | UnsetType
    ) = UNSET
    image: Annotated[str, doc("Name of the image.", Effect.RESTART, pattern=_WORD, examples=["ccvm"])]
    user: (
        Annotated[str, doc("The cephx user, without `client.`; it needs `secret`.", Effect.RESTART, pattern=_USER)]
        | UnsetType
    ) = UNSET
    secret: (
        Annotated[LibvirtSecret, doc("libvirt's secret of type `ceph` with the user's key.", Effect.RESTART)]
        | UnsetType
    ) = UNSET


class IscsiSource(Spec, frozen=True, kw_only=True):
    """A LUN that QEMU logs in to by itself, without the host's kernel."""

    portal: Annotated[
        str, doc("`ADDRESS` or `ADDRESS:PORT` of the target; port 3260.", Effect.RESTART, examples=["10.0.0.5"])
    ]
    target: Annotated[
        str,
        doc("Name of the target.", Effect.RESTART, max_length=223, pattern=_NAME, examples=["iqn.2026-11.io.cell:p1"]),
    ]
    lun: Annotated[int, doc("Number of the LUN.", Effect.RESTART, ge=0, le=16383)]
    initiator: (
        Annotated[
            str,
            doc("Name that logs in. Default: QEMU's, made of the VM.", Effect.RESTART, max_length=223, pattern=_NAME),
        ]
        | UnsetType
    ) = UNSET
    user: Annotated[str, doc("CHAP user; it needs `secret`.", Effect.RESTART, pattern=_USER)] | UnsetType = UNSET
    secret: (
        Annotated[LibvirtSecret, doc("libvirt's secret of type `iscsi` with the password.", Effect.RESTART)] | UnsetType
    ) = UNSET


class FileSource(Spec, frozen=True, kw_only=True):
    """A RAW file on the host: on NFS, GFS2 or any mounted file system."""

    path: Annotated[
        str, doc("Absolute path of a RAW file that exists.", Effect.RESTART, pattern=PATH, examples=["/mnt/nfs/a.raw"])
    ]


class BlockSource(Spec, frozen=True, kw_only=True):
    """A block device of the host: a LUN of a SAN, a logical volume, a mapped or replicated device."""

    path: Annotated[
        str,
        doc(
            "Its path, by a name that stays: below `/dev/disk/by-id` or `by-path`, `/dev/mapper`, `/dev/VG/LV` …",
            Effect.RESTART,
            pattern=r"^/dev/[^\x00-\x1f\x7f\ufffe\uffff]+$",
            examples=["/dev/disk/by-id/wwn-0x6000000000000000", "/dev/vg0/web-01"],
        ),
    ]


class Source(Spec, frozen=True, kw_only=True):
    """Where a disk's data are. Exactly one of `rbd`, `iscsi`, `file` and `block`."""

    rbd: Annotated[RbdSource, doc("An image of a Ceph pool.", Effect.RESTART)] | UnsetType = UNSET
    iscsi: Annotated[IscsiSource, doc("A LUN, by QEMU's own initiator.", Effect.RESTART)] | UnsetType = UNSET
    file: Annotated[FileSource, doc("A file of this host, RAW.", Effect.RESTART)] | UnsetType = UNSET
    block: Annotated[BlockSource, doc("A block device of this host.", Effect.RESTART)] | UnsetType = UNSET


def wanted(source: Source) -> DiskSource:
    """What a domain opens for it. The document has passed its rules: exactly one part is there."""
    if source.rbd:
        rbd = source.rbd
        image = "/".join(part for part in (rbd.pool, rbd.namespace, rbd.image) if part)
        return DiskSource(backend="rbd", image=image, hosts=rbd.monitors, **_login(rbd.user, rbd.secret))
    if source.iscsi:
        iscsi = source.iscsi
        return DiskSource(
            backend="iscsi",
            target=f"{iscsi.target}/{iscsi.lun}",
            hosts=(_with_port(iscsi.portal),),
            initiator=iscsi.initiator or "",
            **_login(iscsi.user, iscsi.secret),
        )
    if source.file:
        return DiskSource(backend="file", path=source.file.path)
    return DiskSource(backend="block", path=source.block.path if source.block else "")


def _login(user: str | UnsetType | None, secret: LibvirtSecret | UnsetType | None) -> dict[str, str]:
    if not secret:
        return {"user": user or ""}
    return {"user": user or "", "secret_uuid": secret.uuid or "", "secret_usage": secret.usage or ""}


def _with_port(portal: str) -> str:
    """libvirt writes the port always."""
    return portal if re.search(r":[0-9]+$", portal) else f"{portal}:{_PORT}"


def said(source: DiskSource) -> Source | None:
    """How a document says it; None for what none can say."""
    if not source.sayable:
        return None
    secret: LibvirtSecret | UnsetType = UNSET
    if source.secret_uuid or source.secret_usage:
        secret = LibvirtSecret(uuid=source.secret_uuid or UNSET, usage=source.secret_usage or UNSET)
    user = source.user or UNSET
    if source.backend == "rbd":
        pool, *between, image = source.image.split("/") if "/" in source.image else ("", source.image)
        namespace = "/".join(between) or UNSET
        rbd = RbdSource(monitors=source.hosts, pool=pool, namespace=namespace, image=image, user=user, secret=secret)
        return Source(rbd=rbd)
    if source.backend == "iscsi":
        target, _, lun = source.target.rpartition("/")
        if not lun.isdigit() or len(source.hosts) != 1:
            return None
        iscsi = IscsiSource(
            portal=source.hosts[0],
            target=target,
            lun=int(lun),
            initiator=source.initiator or UNSET,
            user=user,
            secret=secret,
        )
        return Source(iscsi=iscsi)
    if source.backend == "file":
        return Source(file=FileSource(path=source.path))
    return Source(block=BlockSource(path=source.path))
