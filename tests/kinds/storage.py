"""Documents and observations of storage, for the tests of its kinds."""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.world import build
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import decode
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Image, Live, Pool
from cell_reconciler.model.mark import Mark

RBD = {"monitors": ["10.0.0.11"], "pool": "vms", "user": "cell", "secret": {"file": "/etc/ceph/cell.key"}}


def document(key: str, spec: dict[str, Any], **annotations: str) -> Document:
    name = Key.parse(key)
    typed = msgspec.convert(spec, kind(name.kind).spec, dec_hook=decode)
    given = {"metadata": {"name": name.name}, "spec": spec}
    notes = {f"cell/{key}": value for key, value in annotations.items()}
    return Document(key=name, spec=typed, given=given, position=Position("a.yaml", 1), annotations=notes)


LOCAL = document("StoragePool/local", {"directory": {"path": "/images"}})
GLUE = document("StoragePool/glue", {"rbd": RBD})


def volume(size: str = "1GiB", pool: str = "local", policy: str = "Retain", **annotations: str) -> Document:
    return document("Volume/demo", {"pool": pool, "size": size, "reclaimPolicy": policy}, **annotations)


def image(
    size: int = 2**30, pool: str = "local", policy: str = "Retain", host: str = "h1", owner: str | None = "Volume/demo"
) -> Image:
    mark = Mark(Key.parse(owner), "0" * 16).to_text() if owner else None
    notes = {"reclaimPolicy": policy, "host": host} if owner else {}
    return Image(pool=pool, name="demo", size=size, mark=mark, detail=notes)


def world(*documents: Document, images: tuple[Image, ...] = (), exists: bool = True, **live: Any) -> World:
    """A host ``h1`` with the two pools."""
    pools = {
        "local": Pool(name="local", backend="directory", target="/images", exists=exists),
        "glue": Pool(name="glue", backend="rbd", target="vms", exists=exists, detail={"secret_digest": "d1"}),
    }
    facts = {"pools": pools, "images": {f"{i.pool}/{i.name}": i for i in images}} | live
    return build("h1", {doc.key: doc for doc in (LOCAL, GLUE, *documents)}, Live(host="h1", **facts))
