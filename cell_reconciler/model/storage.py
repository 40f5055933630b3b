"""Where volumes live: the connection facts of a pool, and the disk source that a VM gets from it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

# Notes beside the mark of a volume (``drivers.pool_record``) that make a driver read more of its image
NOTED_SNAPSHOTS, NOTED_SETTINGS = "snapshots", "settings"
SNAPSHOT = "cell-"  # how the names of our snapshots begin; those that people make are never touched


class PoolTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to reach a pool. Secrets stay in their file: only the path is carried.

    ``backend`` names the driver (``rbd``, ``directory``); a backend uses the fields it knows.
    """

    name: str  # of the StoragePool document
    backend: str
    path: str = ""  # directory
    monitors: tuple[str, ...] = ()  # rbd: "10.0.0.1:6789" or "10.0.0.1"
    pool: str = ""
    namespace: str = ""
    user: str = ""
    secret_file: str = ""  # holds the cephx key, base64 as `ceph auth get-key` prints it
    secret_uuid: str = ""  # of the libvirt secret that we keep
    conf: str = ""  # a ceph.conf for further client options

    @property
    def place(self) -> str:
        """For people and for ``live.Pool.target``."""
        if self.backend == "rbd":
            return f"{self.pool}/{self.namespace}" if self.namespace else self.pool
        return self.path


class Clone(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Data of a new volume: those of another image of its pool."""

    image: str
    snapshot: str = ""  # rbd: which one; a directory has none
    flatten: bool = False  # rbd: copy what the clone shares with the snapshot, so that it stands alone


class Import(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Data of a new volume: a RAW image from outside its pool. One of ``path`` and ``url``."""

    sha256: str  # of the whole content, in hexadecimal digits
    path: str = ""
    url: str = ""

    @property
    def place(self) -> str:
        """For people."""
        return self.path or self.url


Origin = Clone | Import


BACKENDS = ("file", "block", "rbd", "iscsi")  # what a disk can be on


class DiskSource(msgspec.Struct, frozen=True, kw_only=True):
    """What a domain's ``<disk>`` needs to open its data. Two that are equal are opened in the same way."""

    backend: str  # one of BACKENDS; libvirt's word for one that no document can say
    path: str = ""  # file, block
    image: str = ""  # rbd: POOL[/NAMESPACE]/IMAGE
    target: str = ""  # iscsi: IQN/LUN
    hosts: tuple[str, ...] = ()  # the monitors, or the one portal: "10.0.0.1:6789", "[fd00::1]:3260"
    initiator: str = ""  # iscsi: the IQN that logs in; empty: QEMU's own
    user: str = ""
    secret_uuid: str = ""  # of libvirt's secret; or
    secret_usage: str = ""
    foreign: str = ""  # what makes it another thing than a plain RAW disk: "qcow2", "encryption"

    @property
    def place(self) -> str:
        """``/var/lib/…/root.raw``, ``rbd:pool/image``, ``block:/dev/…``: the data, whatever the way to them.

        The same image of two clusters has one place: rather too careful than a disk that two VMs write to.
        """
        return self.path if self.backend == "file" else f"{self.backend}:{self.image or self.target or self.path}"

    @property
    def text(self) -> str:
        """The place for people, and what is special about it: ``/srv/old.img (qcow2)``."""
        return f"{self.place} ({self.foreign})" if self.foreign else self.place

    @property
    def sayable(self) -> bool:
        """Can a document say it?"""
        return self.backend in BACKENDS and not self.foreign


def disk_source(target: PoolTarget, volume: str) -> DiskSource:
    """The source of a volume in a pool; for a directory, the RAW file ``<path>/<volume>.raw``."""
    if target.backend == "rbd":
        return DiskSource(
            backend="rbd",
            image=f"{target.place}/{volume}",
            hosts=target.monitors,
            user=target.user,
            secret_uuid=target.secret_uuid,
        )
    return DiskSource(backend="file", path=f"{target.path.rstrip('/')}/{volume}.raw")


def snapshot_name(at: datetime) -> str:
    """``cell-20261128T110000Z``: the time in UTC, to the second."""
    return SNAPSHOT + at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def snapshot_time(name: str) -> datetime | None:
    """None for a snapshot that we did not name."""
    text = name.removeprefix(SNAPSHOT)
    if text == name or len(text) != 16 or text[8] != "T" or text[15] != "Z":
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
