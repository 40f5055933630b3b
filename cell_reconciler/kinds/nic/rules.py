"""Rules for Nic documents that JSON Schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.index import index_of
from cell_reconciler.kinds.links.marks import name_fault
from cell_reconciler.kinds.links.rules import holder, name_taken, port_without_network
from cell_reconciler.kinds.nic.spec import AdminState, NicMatch
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """All problems of one document, alone and beside the others of its host."""
    name, spec = doc.key.name, doc.spec
    if fault := name_fault(name):
        yield Problem(pointer="/metadata/name", rule="link-name", message=fault)
    if spec.match == NicMatch():
        message = "match names nothing that the card has to be"
        yield Problem(pointer="/spec/match", rule="match-empty", message=message, advice="give permanentMac or pci")
    yield from name_taken(doc, documents)
    held = holder(name, documents)
    yield from port_without_network(doc, held)
    if held is not None and held.kind == "Bond":
        yield from _mtu(doc, documents[held])
    if spec.admin_state == AdminState.DOWN and (user := held or _stands_on(name, documents)) is not None:
        message = f"{name} is declared down, and {user} needs it up"
        yield Problem(pointer="/spec/adminState", rule="nic-down", message=message)
    if spec.admin_state == AdminState.DOWN and spec.routes:
        message = f"{name} is declared down: the kernel has no routes through what is down"
        yield Problem(pointer="/spec/routes", rule="nic-down", message=message)
    yield from layer3.check(doc, documents)


def _mtu(doc: Document, bond: Document) -> Iterator[Problem]:
    """The kernel gives a member the MTU of its bond, and the bond its own to all members whenever it changes."""
    if doc.spec.mtu in (UNSET, bond.spec.mtu):
        return
    said = "no mtu" if bond.spec.mtu is UNSET else f"mtu {bond.spec.mtu}"
    message = f"{doc.key.name} follows {bond.key}, whose member it is and which declares {said}, not {doc.spec.mtu}"
    advice = f"declare mtu {doc.spec.mtu} for {bond.key}, or leave it out here"
    yield Problem(pointer="/spec/mtu", rule="mtu-member", message=message, advice=advice)


def _stands_on(name: str, documents: Mapping[Key, Document]) -> Key | None:
    """The Vlan or access bridge that has this link below it."""
    return next((keys[0] for (below, _), keys in index_of(documents).tags.items() if below == name), None)
