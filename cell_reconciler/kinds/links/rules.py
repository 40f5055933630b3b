"""Rules that the kinds of links share: a name belongs to one document, and a port of something has no other use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links.index import index_of
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

LINKS = ("Nic", "Bond", "Vlan", "Bridge")  # the kinds whose documents are links, bottom up


def declared(name: str, documents: Mapping[Key, Document]) -> list[Document]:
    """The documents of links of this name; more than one is an error."""
    return [documents[key] for kind in LINKS if (key := Key(kind, name)) in documents]


def name_taken(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """Another document declares a link of this name, or makes one (the VLAN device of an access bridge)."""
    name = doc.key.name
    takers = [f"{other.key} has" for other in declared(name, documents) if other.key != doc.key]
    bridges = index_of(documents).ports.get(name, ())
    takers += [f"the VLAN device of {key} has" for key in bridges if documents[key].spec.vlan is not UNSET]
    for who in takers:
        message = f"{who} the same name: a host has one link of a name"
        yield Problem(pointer="/metadata/name", rule="link-name-taken", message=message)


def holder(name: str, documents: Mapping[Key, Document]) -> Key | None:
    """The Bond or Bridge that declares this link as its member or its port."""
    index = index_of(documents)
    return next(iter([*index.members.get(name, ()), *index.ports.get(name, ())]), None)


def port_without_network(doc: Document, held: Key | None) -> Iterator[Problem]:
    """What a port receives goes to what holds it, so addresses and routes of its own never see a packet."""
    if held is None:
        return
    role, advice = "the uplink", f"declare them on {held}"
    if held.kind == "Bond":
        role, advice = "a member", f"declare them on {held}, or on a bridge or VLAN on it"
    for field in ("addresses", "routes", "rules"):
        if getattr(doc.spec, field):
            message = f"{doc.key.name} is {role} of {held}: {field} on it would have no effect"
            yield Problem(pointer=f"/spec/{field}", rule="port-network", message=message, advice=advice)
