"""What the documents of links say about each other, looked up and not searched: a host declares thousands of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from cell_reconciler.kinds.links.memo import Latest
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


class Index:
    """Use ``index_of``, which builds it once for a set of documents."""

    def __init__(self, documents: Mapping[Key, Document]) -> None:
        self.members: dict[str, list[Key]] = defaultdict(list)  # NIC → the Bonds that it is a member of
        self.ports: dict[str, list[Key]] = defaultdict(list)  # link → the Bridges whose port it is, as their uplink
        self.tags: dict[tuple[str, int], list[Key]] = defaultdict(list)  # link and VLAN → who makes a device of it
        self.below: dict[str, list[Key]] = defaultdict(list)  # link → the Vlans and access Bridges on it
        for key, doc in documents.items():
            if key.kind == "Bond":
                for nic in doc.spec.members:
                    self.members[nic].append(key)
            elif key.kind == "Vlan":
                self.tags[doc.spec.parent, doc.spec.id].append(key)
                self.below[doc.spec.parent].append(key)
            elif key.kind == "Bridge" and doc.spec.uplink is not UNSET:
                if doc.spec.vlan is UNSET:
                    self.ports[doc.spec.uplink].append(key)
                else:
                    self.ports[f"{doc.spec.uplink}.{doc.spec.vlan}"].append(key)
                    self.tags[doc.spec.uplink, doc.spec.vlan].append(key)
                    self.below[doc.spec.uplink].append(key)


index_of = Latest(Index)


def users(name: str, documents: Mapping[Key, Document]) -> list[Key]:
    """The documents that name this link as what they stand on, or as a part of them."""
    index = index_of(documents)
    return [*index.members.get(name, ()), *index.ports.get(name, ()), *index.below.get(name, ())]


def links_of(document: Document) -> tuple[str, ...]:
    """The links that a document is about: its own, those it uses, and the VLAN device that an access bridge makes."""
    kind, name, spec = document.key.kind, document.key.name, document.spec
    if kind == "Bond":
        return (name, *spec.members)
    if kind == "Vlan":
        return (name, spec.parent)
    if kind == "Bridge" and spec.uplink is not UNSET:
        return (name, spec.uplink) if spec.vlan is UNSET else (name, spec.uplink, f"{spec.uplink}.{spec.vlan}")
    return (name,) if isinstance(spec, Layer3) else ()
