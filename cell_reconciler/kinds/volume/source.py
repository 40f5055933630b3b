"""What a new volume begins with: the rules of ``spec.source``, and what the drivers get of it. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.volume.spec import CloneSource, VolumeSpec
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.storage import Clone, Import, Origin

_AT = "/spec/source"


def origin(spec: VolumeSpec) -> Origin | None:
    """For the driver; None: the volume begins with zeros. The document has passed ``check``."""
    source = spec.source
    if source is UNSET:
        return None
    if source.clone is not UNSET:
        clone = source.clone
        return Clone(image=clone.volume or clone.image or "", snapshot=clone.snapshot or "", flatten=clone.flatten)
    if source.file is not UNSET:
        return Import(path=source.file.path, sha256=_digits(source.file.checksum))
    return Import(url=source.url.url, sha256=_digits(source.url.checksum)) if source.url else None


def _digits(checksum: str) -> str:
    return checksum.removeprefix("sha256:")


def text(source: Origin | None) -> str:
    """The end of the line that says what is made."""
    if source is None:
        return ""
    if isinstance(source, Import):
        return f" from {source.place}"
    snapshot = f"@{source.snapshot}" if source.snapshot else ""
    return f" as a {'flat ' if source.flatten else ''}clone of {source.image}{snapshot}"


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
    """All findings; see ``kinds.contract.Kind.check``."""
    source = doc.spec.source
    if source is UNSET:
        return
    if sum(part is not UNSET for part in (source.clone, source.file, source.url)) != 1:
        yield Problem(pointer=_AT, rule="exactly-one", message="a source has exactly one of `clone`, `file` and `url`")
        return
    if source.file is not UNSET:
        yield from _path(source.file.path)
    if source.clone is not UNSET:
        yield from _clone(doc, source.clone, documents)


def _path(path: str) -> Iterable[Problem]:
    normal = posixpath.normpath(path).replace("//", "/")
    if path != normal or normal == "/":
        yield Problem(
            pointer=f"{_AT}/file/path",
            rule="normal-path",
            message=f"{path!r} is not a normalised path below /",
            advice=f"write {normal}" if normal != "/" else "",
        )


def _clone(doc: Document, clone: CloneSource, documents: Mapping[Key, Document]) -> Iterable[Problem]:
    if (clone.volume is UNSET) == (clone.image is UNSET):
        message = "a clone has exactly one of `volume` and `image`"
        yield Problem(pointer=f"{_AT}/clone", rule="exactly-one", message=message)
        return
    if doc.key.name in (clone.volume, clone.image):
        yield Problem(pointer=f"{_AT}/clone", rule="clone-source", message="a volume cannot be a clone of itself")
    other = documents.get(Key(doc.key.kind, clone.volume)) if clone.volume else None
    if other is not None and other.spec.pool != doc.spec.pool:
        yield Problem(
            pointer=f"{_AT}/clone/volume",
            rule="clone-source",
            message=f"{other.key} is in pool {other.spec.pool}, and a clone is made in the pool of its source",
            advice=f"set pool to {other.spec.pool}, or export the image to a file and name that",
        )
    round_ = _circle(doc, documents)
    if len(round_) > 1:
        message = f"each of {', '.join(round_)} is a clone of the next, and the last of the first: none can be made"
        yield Problem(pointer=f"{_AT}/clone", rule="clone-source", message=message)
    pool = documents.get(Key("StoragePool", doc.spec.pool))
    if pool is not None:
        yield from _by_backend(clone, bool(pool.spec.rbd))


def _circle(doc: Document, documents: Mapping[Key, Document]) -> list[str]:
    """The names on the way from a volume over its sources back to it; empty when it does not come back."""
    seen: list[str] = []
    here: Document | None = doc
    while here is not None and here.key.name not in seen:
        seen.append(here.key.name)
        clone = here.spec.source.clone if here.spec.source else UNSET
        source = (clone.volume or clone.image) if clone else None
        here = documents.get(Key(doc.key.kind, source)) if source else None
    return seen if here is not None and here.key == doc.key else []


def _by_backend(clone: CloneSource, rbd: bool) -> Iterable[Problem]:
    if rbd and clone.snapshot is UNSET:
        yield Problem(
            pointer=f"{_AT}/clone",
            rule="clone-source",
            message="in an rbd pool a clone is made of a snapshot",
            advice="make one with `rbd snap create`, and name it in `snapshot`",
        )
    if not rbd and (clone.snapshot is not UNSET or clone.flatten):
        field = "snapshot" if clone.snapshot is not UNSET else "flatten"
        yield Problem(
            pointer=f"{_AT}/clone/{field}",
            rule="clone-source",
            message=f"a directory pool has no snapshots: a clone is a copy, and `{field}` means nothing",
            advice=f"remove {field}",
        )
