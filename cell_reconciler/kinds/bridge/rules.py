"""Rules for Bridge documents that JSON Schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.bridge import isolation, rules_options
from cell_reconciler.kinds.bridge.observe import device
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.kinds.bridge.uplink import declared_uplink
from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.index import index_of
from cell_reconciler.kinds.links.marks import name_fault
from cell_reconciler.kinds.links.rules import declared, name_taken
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """All problems of one document, alone and beside the others of its host."""
    yield from _names(doc.key.name, doc.spec)
    yield from rules_options.check(doc, index_of(documents))
    yield from _uplink(doc, documents)
    yield from _beside_others(doc, documents)
    yield from layer3.check(doc, documents)
    yield from isolation.check(doc, documents)


def _names(name: str, spec: BridgeSpec) -> Iterator[Problem]:
    if fault := name_fault(name):
        yield Problem(pointer="/metadata/name", rule="link-name", message=fault)
    if spec.vlan is not UNSET and spec.uplink is UNSET:
        message = f"vlan {spec.vlan} needs an uplink to be on"
        yield Problem(pointer="/spec/vlan", rule="vlan-uplink", message=message)
    if spec.vlan is not UNSET and spec.uplink is not UNSET and (fault := name_fault(str(device(spec)))):
        message = f"the VLAN device cannot be made: {fault}"
        yield Problem(pointer="/spec/vlan", rule="link-name", message=message, advice="shorten the name of the uplink")
    if spec.mac is not UNSET and not spec.mac.unicast:
        message = f"{spec.mac} is a group address, no interface can have it"
        yield Problem(pointer="/spec/mac", rule="mac-unicast", message=message)


def _uplink(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    spec, pointer = doc.spec, "/spec/uplink"
    if spec.uplink is UNSET:
        return
    if spec.uplink in (doc.key.name, "lo"):
        message = f"{spec.uplink} cannot be the uplink of {doc.key.name}"
        yield Problem(pointer=pointer, rule="uplink-loop", message=message)
    elif Key("Bridge", spec.uplink) in documents and spec.vlan is UNSET:
        message = f"{spec.uplink} is a bridge: the kernel makes no bridge a port of another"
        yield Problem(pointer=pointer, rule="uplink-bridge", message=message)
    elif _returns(doc, documents):
        message = f"the uplinks lead from {doc.key.name} back to {doc.key.name}"
        yield Problem(pointer=pointer, rule="uplink-loop", message=message)
    below = declared_uplink(doc, documents)
    if below is not None and UNSET not in (spec.mtu, below.spec.mtu) and spec.mtu > below.spec.mtu:
        message = f"mtu {spec.mtu} is more than that of the uplink, {below.key}: {below.spec.mtu}"
        yield Problem(pointer="/spec/mtu", rule="mtu-uplink", message=message)


def _returns(doc: Document, documents: Mapping[Key, Document]) -> bool:
    """Down from uplink to uplink, and from VLAN to parent: does it come back to where it was?"""
    seen, name = {doc.key.name}, doc.spec.uplink
    while name is not UNSET:
        bridge, vlan = documents.get(Key("Bridge", name)), documents.get(Key("Vlan", name))
        if bridge is None and vlan is None:
            return False
        if name in seen:
            return True
        seen.add(name)
        name = bridge.spec.uplink if bridge is not None else vlan.spec.parent if vlan is not None else UNSET
    return False


def _beside_others(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    own, spec = device(doc.spec), doc.spec
    yield from name_taken(doc, documents)
    if own is None:
        return
    index = index_of(documents)
    yield from _own_device(doc, own, documents)
    pointer = "/spec/vlan" if spec.vlan is not UNSET else "/spec/uplink"
    for key in (other for other in index.ports[own] if other != doc.key):
        what = f"VLAN {spec.vlan} of {spec.uplink}" if spec.vlan is not UNSET else own
        message = f"{what} is the uplink of {key} too: a link is a port of one bridge at most"
        yield Problem(pointer=pointer, rule="uplink-of-two", message=message)
    for key in index.members[spec.uplink]:
        message = f"{spec.uplink} is a member of {key}: what is in a bond has no other use"
        advice = f"make {key.name} the uplink"
        yield Problem(pointer="/spec/uplink", rule="uplink-is-member", message=message, advice=advice)


def _own_device(doc: Document, own: str, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """The VLAN device that an access bridge makes must not be declared as well, by its name or as what it is."""
    spec = doc.spec
    if spec.vlan is UNSET:
        return
    same = [key for key in index_of(documents).tags[spec.uplink, spec.vlan] if key.kind == "Vlan"]
    for key in same:
        message = f"{doc.key} makes VLAN {spec.vlan} of {spec.uplink} itself, and {key} declares it too"
        advice = f"leave vlan out and make {key.name} the uplink, or remove {key}"
        yield Problem(pointer="/spec/vlan", rule="vlan-of-two", message=message, advice=advice)
    for other in declared(own, documents):
        if other.key not in (doc.key, *same):
            message = f"the VLAN device would be named {own}, as {other.key} is"
            yield Problem(pointer="/spec/vlan", rule="link-name-taken", message=message)
