"""What the documents of links say about each other, looked up and not searched: a host declares thousands of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


class Index:
    """Use ``index_of``, which builds it once for a set of documents."""

    def __init__(self, documents: Mapping[Key, Document]) -> None:
        self.members: dict[str, list[Key]] = defaultdict(list)  # NIC → the Bonds that it is a member of
        self.ports: dict[str, list[Key]] = defaultdict(list)  # link → the Bridges whose port it is, as their uplink
        self.tags: dict[tuple[str, int], list[Key]] = defaultdict(list)  # link and VLAN → who makes a device of it
        for key, doc in documents.items():
            if key.kind == "Bond":
                for nic in doc.spec.members:
                    self.members[nic].append(key)
            elif key.kind == "Vlan":
                self.tags[doc.spec.parent, doc.spec.id].append(key)
            elif key.kind == "Bridge" and doc.spec.uplink is not UNSET:
                if doc.spec.vlan is UNSET:
                    self.ports[doc.spec.uplink].append(key)
                else:
                    self.ports[f"{doc.spec.uplink}.{doc.spec.vlan}"].append(key)
                    self.tags[doc.spec.uplink, doc.spec.vlan].append(key)


_latest: tuple[Mapping[Key, Document], int, Index] | None = None


def index_of(documents: Mapping[Key, Document]) -> Index:
    """The index of these documents; the last one is kept, since a thousand documents are checked beside the same."""
    global _latest  # noqa: PLW0603  # a memo of one; replaced as a whole, so threads see the old or the new one
    known = _latest
    if known is None or known[0] is not documents or known[1] != len(documents):
        known = (documents, len(documents), Index(documents))
        _latest = known
    return known[2]
