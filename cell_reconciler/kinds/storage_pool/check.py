"""What JSON Schema cannot say about a StoragePool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.secret import check_path, check_secret
from cell_reconciler.kinds.storage_names import check_name, is_address
from cell_reconciler.kinds.storage_pool.spec import RbdPool, StoragePoolSpec
from cell_reconciler.kinds.storage_pool.target import target
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
    """All findings; see ``kinds.contract.Kind.check``."""
    spec: StoragePoolSpec = doc.spec
    yield from check_name(doc)
    if (spec.rbd is UNSET) == (spec.directory is UNSET):
        yield Problem(
            pointer="/spec",
            rule="exactly-one",
            message="a StoragePool has exactly one of `rbd` and `directory`",
        )
        return
    if isinstance(spec.rbd, RbdPool):
        yield from _rbd(spec.rbd)
    elif spec.directory is not UNSET:
        yield from check_path(spec.directory.path, "/spec/directory/path")
    yield from _same_place(doc, documents)


def _rbd(spec: RbdPool) -> Iterable[Problem]:
    for index, monitor in enumerate(spec.monitors):
        if not is_address(monitor):
            yield Problem(
                pointer=f"/spec/rbd/monitors/{index}",
                rule="monitor-address",
                message=f"{monitor!r} is not ADDRESS or ADDRESS:PORT",
                advice="write for example 10.0.0.11:6789, or [fd00::11]:6789",
            )
    yield from check_secret(spec.secret, "/spec/rbd/secret")
    if spec.conf:
        yield from check_path(spec.conf, "/spec/rbd/conf")


def _same_place(doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
    """Two pools in one place would both claim its volumes."""
    mine = target(doc)
    for key, other in sorted(documents.items()):
        if key.kind != doc.key.kind or key == doc.key:
            continue
        theirs = target(other)
        if (theirs.backend, theirs.place, set(theirs.monitors)) == (mine.backend, mine.place, set(mine.monitors)):
            yield Problem(
                pointer="/spec",
                rule="same-place",
                message=f"{key} is in the same place, {mine.place}",
                advice="declare a place once, and let the volumes name that pool",
            )
