"""Rules for Bond documents that JSON Schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.bond.spec import PRIMARY_MODES, BondMode, BondSpec
from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links.marks import name_fault
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

# bond_option_mode_set: in these modes the kernel turns miimon on by itself, since they cannot work without.
_NEED_MIIMON = frozenset({BondMode.LACP, BondMode.BALANCE_TLB, BondMode.BALANCE_ALB})


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """All problems of one document, alone and beside the others of its host."""
    yield from _alone(doc.key.name, doc.spec)
    yield from _beside_others(doc, documents)


def _alone(name: str, spec: BondSpec) -> Iterator[Problem]:
    if fault := name_fault(name):
        yield Problem(pointer="/metadata/name", rule="link-name", message=fault)
    for index, member in enumerate(spec.members):
        pointer = f"/spec/members/{index}"
        if member in spec.members[:index]:
            yield Problem(pointer=pointer, rule="member-twice", message=f"{member} is listed twice")
        if member in (name, "lo"):
            yield Problem(pointer=pointer, rule="member", message=f"{member} cannot be a member of {name}")
    if spec.primary is not UNSET and spec.primary not in spec.members:
        message = f"the primary {spec.primary} is not among the members"
        yield Problem(pointer="/spec/primary", rule="primary-member", message=message)
    if spec.primary is not UNSET and spec.mode not in PRIMARY_MODES:
        modes = ", ".join(sorted(PRIMARY_MODES))
        message = f"mode {spec.mode} has no primary; only {modes} have one"
        yield Problem(pointer="/spec/primary", rule="primary-mode", message=message)
    if spec.miimon == 0 and spec.mode in _NEED_MIIMON:
        message = f"mode {spec.mode} cannot work without looking at the carrier: miimon must not be 0"
        yield Problem(pointer="/spec/miimon", rule="miimon-mode", message=message)
    if spec.mac is not UNSET and not spec.mac.unicast:
        message = f"{spec.mac} is a group address, no interface can have it"
        yield Problem(pointer="/spec/mac", rule="mac-unicast", message=message)


def _beside_others(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    if Key("Bridge", doc.key.name) in documents:
        message = f"Bridge/{doc.key.name} has the same name: a host has one link of a name"
        yield Problem(pointer="/metadata/name", rule="link-name-taken", message=message)
    for index, member in enumerate(doc.spec.members):
        pointer = f"/spec/members/{index}"
        for key, other in documents.items():
            if key.kind not in ("Bond", "Bridge") or key == doc.key:
                continue
            if key.name == member:
                message = f"{member} is {key}: only NICs can be members of a bond"
                yield Problem(pointer=pointer, rule="member-kind", message=message)
            elif key.kind == "Bond" and member in other.spec.members:
                message = f"{member} is a member of {key} too: a NIC is in one bond at most"
                yield Problem(pointer=pointer, rule="member-of-two", message=message)
            elif key.kind == "Bridge" and other.spec.uplink == member:
                message = f"{member} is the uplink of {key}: what is in a bond has no other use"
                yield Problem(
                    pointer=pointer,
                    rule="member-is-uplink",
                    message=message,
                    advice=f"make {doc.key.name} the uplink of {key.name}",
                )
