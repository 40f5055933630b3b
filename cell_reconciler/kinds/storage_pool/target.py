"""StoragePool document → the facts by which its driver, and a VM's disk, reach the pool. Pure."""

from __future__ import annotations

from uuid import UUID, uuid5

from cell_reconciler.kinds.secret import secret_file
from cell_reconciler.kinds.storage_pool.spec import RbdPool, StoragePoolSpec
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.storage import PoolTarget

# Ours, drawn once: the libvirt secret of a pool has the same UUID on every host, so that VMs can migrate.
_SECRETS = UUID("7f1f4a1e-6d0c-5c19-9f6d-0a4be3c0ce11")


def target(doc: Document) -> PoolTarget:
    """The target of a StoragePool document that passed ``check`` (exactly one backend)."""
    spec: StoragePoolSpec = doc.spec
    if isinstance(spec.rbd, RbdPool):
        return PoolTarget(
            name=doc.key.name,
            backend="rbd",
            monitors=spec.rbd.monitors,
            pool=spec.rbd.pool,
            namespace=spec.rbd.namespace or "",
            user=spec.rbd.user,
            secret_file=secret_file(spec.rbd.secret),
            secret_uuid=secret_uuid(doc.key.name),
            conf=spec.rbd.conf or "",
        )
    path = "" if spec.directory is UNSET else spec.directory.path
    return PoolTarget(name=doc.key.name, backend="directory", path=path)


def secret_uuid(pool: str) -> str:
    """UUID of the libvirt secret that holds the key of this pool; depends on the pool's name only."""
    return str(uuid5(_SECRETS, pool))
