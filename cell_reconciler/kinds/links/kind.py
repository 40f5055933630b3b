"""What all kinds of links answer alike; each adds the functions that are its own, as static methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Reference
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source


class LinkKind:
    """See ``kinds.contract.Kind``. ``link_kind`` is the kernel's word for it (IFLA_INFO_KIND)."""

    aliases: tuple[str, ...] = ()
    sources = frozenset({Source.NETLINK})
    link_kind = ""

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        return ()

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def exists(self, name: str, live: Live) -> bool:
        link = live.links.get(name)
        return link is not None and link.kind == self.link_kind
