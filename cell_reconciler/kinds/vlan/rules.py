"""Rules for Vlan documents that JSON Schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.index import index_of
from cell_reconciler.kinds.links.marks import name_fault
from cell_reconciler.kinds.links.rules import declared, holder, name_taken, port_without_network
from cell_reconciler.kinds.vlan.spec import VlanProtocol
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """All problems of one document, alone and beside the others of its host."""
    if fault := name_fault(doc.key.name):
        yield Problem(pointer="/metadata/name", rule="link-name", message=fault)
    if doc.spec.mac is not UNSET and not doc.spec.mac.unicast:
        message = f"{doc.spec.mac} is a group address, no interface can have it"
        yield Problem(pointer="/spec/mac", rule="mac-unicast", message=message)
    yield from name_taken(doc, documents)
    yield from port_without_network(doc, holder(doc.key.name, documents))
    yield from _parent(doc, documents)
    yield from _twins(doc, documents)
    yield from layer3.check(doc, documents)


def parent_of(doc: Document, documents: Mapping[Key, Document]) -> Document | None:
    """The document that declares the parent, if one does."""
    return next((other for other in declared(doc.spec.parent, documents) if other.key != doc.key), None)


def _parent(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    name, spec = doc.key.name, doc.spec
    if spec.parent in (name, "lo") or _returns(doc, documents):
        message = f"the parents lead from {name} back to {name}"
        if spec.parent == "lo":
            message = "lo belongs to the kernel and carries no VLANs"
        yield Problem(pointer="/spec/parent", rule="parent-loop", message=message)
    for bond in index_of(documents).members.get(spec.parent, ()):
        message = f"{spec.parent} is a member of {bond}: what is in a bond has no other use"
        yield Problem(
            pointer="/spec/parent", rule="parent-is-member", message=message, advice=f"make {bond.name} the parent"
        )
    parent = parent_of(doc, documents)
    if parent is not None and parent.key.kind == "Bridge" and parent.spec.mode != "normal":
        message = f"{parent.key} is {parent.spec.mode.value}: nothing else may stand on it"
        yield Problem(pointer="/spec/parent", rule="isolated-parent", message=message)
    if parent is not None and UNSET not in (spec.mtu, parent.spec.mtu) and spec.mtu > parent.spec.mtu:
        message = f"mtu {spec.mtu} is more than that of the parent, {parent.key}: {parent.spec.mtu}"
        yield Problem(pointer="/spec/mtu", rule="mtu-parent", message=message)


def _returns(doc: Document, documents: Mapping[Key, Document]) -> bool:
    """Downwards by Vlans and by bridges that have an uplink."""
    seen: set[str] = set()
    name = doc.spec.parent
    while name is not UNSET and name not in seen:
        seen.add(name)
        vlan, bridge = documents.get(Key("Vlan", name)), documents.get(Key("Bridge", name))
        name = vlan.spec.parent if vlan else bridge.spec.uplink if bridge else UNSET
    return doc.key.name in seen


def _twins(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """The kernel has each VLAN of a link once, whoever wants it (vlan_check_real_dev, "VLAN device already exists")."""
    spec = doc.spec
    for key in index_of(documents).tags.get((spec.parent, spec.id), ()):
        protocol = documents[key].spec.protocol if key.kind == "Vlan" else VlanProtocol.CUSTOMER
        if key != doc.key and protocol == spec.protocol:
            message = f"VLAN {spec.id} of {spec.parent} is that of {key} too: a link has each VLAN once"
            advice = f"make {doc.key.name} the uplink of {key}, without vlan" if key.kind == "Bridge" else ""
            yield Problem(pointer="/spec/id", rule="vlan-twice", message=message, advice=advice)
