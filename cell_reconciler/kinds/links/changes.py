"""What Bond and Bridge plans have in common: collecting steps, objecting to what is not ours, absent fields."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

from cell_reconciler.kinds.compare import compare, plain
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.actions import SetMark
from cell_reconciler.kinds.links.index import users
from cell_reconciler.kinds.links.marks import fresh_mark, named_paths, owner_of
from cell_reconciler.model.change import Cause, Change, FieldChange, Refusal, Risk, Step, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, fields_of
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP


class Steps:
    """Collects the steps of one change in their order."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.steps: list[Step] = []
        self.refused: list[Refusal] = []

    def add(
        self,
        op: str,
        text: str,
        action: Any,
        harm: tuple[Risk, str] = (Risk.NONE, ""),
        *,
        deletes: bool = False,
        needs: tuple[str, ...] = (),
        gives: tuple[str, ...] = (),
    ) -> None:
        risk, why = harm
        self.steps.append(
            Step(
                key=self.key,
                op=f"{self.key.kind.lower()}.{op}",
                text=text,
                action=action,
                risk=risk,
                why=why if risk > Risk.NONE else "",
                deletes=deletes,
                needs=needs,
                gives=gives,
            )
        )

    def refuse(self, refusal: Refusal) -> None:
        """Something that the change needs and that is not done; ``created`` and ``settled`` say so."""
        self.refused.append(refusal)


def afterwards(port: str, world: World) -> dict[str, Any]:
    """What a port is to be once it is taken off (see ``Release``): what its document says, if there is one."""
    doc = world.declared("Nic", port)
    if doc is None:
        return {}
    return {"up": doc.spec.admin_state == "up", "mtu": None if doc.spec.mtu is UNSET else doc.spec.mtu}


def leaves_address(port: Link, mac: str, world: World) -> bool:
    """Has this port, taken off, its master's address and no network of its own (see ``Release.silent``)?"""
    doc = world.declared("Nic", port.name)
    used = doc is not None and bool(doc.spec.addresses or doc.spec.routes or doc.spec.ipv6 is True)
    return mac == port.mac and port.kind not in ("bond", "vlan") and not used


def objection(doc: Document, have: Observed, kind: str) -> Refusal | None:
    """Why the link that has the document's name must not be touched; None if it may."""
    link: Link = have.detail
    if link.kind != kind:
        return Refusal(
            reason="Conflict",
            message=f"{link.name} exists and is no {kind} but {link.kind or 'a NIC'}",
            advice="give the document another name",
        )
    if have.mark is not None or doc.adopts:
        return None
    if link.group == GROUP and (owner := owner_of(link)) is not None:
        return Refusal(reason="Conflict", message=f"{link.name} belongs to {owner}", advice="use another name")
    return Refusal(
        reason="Foreign",
        message=f"{link.name} exists and was made by somebody else",
        advice="annotate the document with cell/adopt: 'true' to take it over, or give it another name",
    )


def differences(doc: Document, want: Any, have: Observed) -> tuple[FieldChange, ...]:
    """All differences in the fields that are ours; ``want`` is the document's spec in canonical form."""
    named = named_paths(doc, have.mark)
    found = compare(want, have.spec, named=named, ignored=doc.ignored)
    return found + tuple(_absent(want, have.spec, named, doc.ignored))


def _absent(want: Any, have: Any, named: Collection[str] | None, ignored: Collection[str]) -> Iterator[FieldChange]:
    """Fields of which the declaration says that leaving them out means *none* (``absent_is_none``)."""
    if named is not None:
        return
    for field in fields_of(want.__class__):
        wanted, found = getattr(want, field.name), getattr(have, field.name)
        if field.extra.get("absent_is_none") and wanted is UNSET and found is not UNSET:
            skip = f"/spec/{field.yaml}" in ignored
            path = f"spec.{field.yaml}"
            yield FieldChange(path=path, have=plain(found), want=None, effect=field.change, ignored=skip)


def acted_upon(fields: tuple[FieldChange, ...]) -> frozenset[str]:
    """The names (``members``) of the fields that differ and that are not to be ignored."""
    return frozenset(field.path.removeprefix("spec.") for field in fields if not field.ignored)


def settled(
    doc: Document,
    have: Observed,
    fields: tuple[FieldChange, ...],
    steps: Steps,
    refused: list[Refusal],
    pin_mtu: int | None = None,
    unpinned: bool = False,
) -> Change:
    """The change of an existing link; its mark is written anew when it is adopted or when anything else is done.

    ``pin_mtu``: of a bridge, to be pinned whenever the mark is written; ``unpinned``: it is known not to be.
    """
    mark = fresh_mark(doc, have.mark)
    adopting = have.mark is None
    # Without other work the mark is rewritten only if its creation was cut short or if its flags moved (a file declares
    # now what was derived, it is protected now); not for its digest alone, since a new release with a new field would
    # rewrite all of them.
    stale = have.mark is not None and (not have.mark.digest or have.mark.flags != mark.flags)
    if adopting or stale or unpinned or (steps.steps and have.mark != mark):
        text = f"adopt {doc.key.name}" if adopting else f"mark {doc.key.name} as applied"
        text += "" if pin_mtu is None else f" and pin its MTU at {pin_mtu}"
        action = SetMark(name=doc.key.name, alias=mark.to_text(), pin_mtu=pin_mtu)
        steps.add("adopt" if adopting else "mark", text, action)
    if adopting:
        # Ours first, then changed: a crash between must not leave a changed link that nobody owns.
        steps.steps.insert(0, steps.steps.pop())
    verb = Verb.ADOPT if adopting else Verb.UPDATE if acted_upon(fields) or steps.steps else Verb.NONE
    return Change(
        key=doc.key,
        verb=verb,
        fields=fields,
        steps=tuple(steps.steps),
        refused=(*refused, *steps.refused),
        position=doc.position,
    )


def created(doc: Document, steps: Steps, refused: list[Refusal], spec: Any) -> Change:
    """The change that makes a link: every field that the document sets is new, and no default is."""
    fields = tuple(
        FieldChange(path=f"spec.{f.yaml}", have=None, want=plain(value), effect=f.change)
        for f in fields_of(spec.__class__)
        if f.change != "policy"
        and (value := getattr(spec, f.name)) is not UNSET
        and (value != f.default or f.yaml in doc.given.get("spec", {}))
    )
    return Change(
        key=doc.key,
        verb=Verb.CREATE,
        fields=fields,
        steps=tuple(steps.steps),
        refused=(*refused, *steps.refused),
        position=doc.position,
    )


def given_up(have: Observed, steps: Steps) -> Change:
    """An adopted link that no document declares any more existed before us: it stays, and is no longer ours.

    ``steps`` have taken off it what is ours.
    """
    name = have.key.name
    steps.add("give-up", f"give up {name}: it was adopted, so it stays", SetMark(name=name, alias=""))
    return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=tuple(steps.steps))


def still_named(name: str, world: World) -> list[Refusal]:
    """Why a link that no document declares must stay all the same: others are declared to stand on it."""
    named = users(name, world.documents)
    if not named:
        return []
    message = f"{', '.join(map(str, named))} names {name}, which no document declares"
    return [Refusal(reason="ForeignDependents", message=message, advice=f"declare {name}, or change {named[0]}")]


def pruned(have: Observed, steps: Steps, refused: list[Refusal]) -> Change:
    """The change that deletes a link, without its steps when anything speaks against it."""
    done = () if refused else tuple(steps.steps)
    return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=done, refused=tuple(refused))


def stable_mac(host: str, name: str) -> str:
    """A locally administered unicast address that stays the same for this link on this host."""
    digest = hashlib.sha256(f"{host}/{name}".encode()).digest()
    return ":".join(f"{octet:02x}" for octet in bytes([0x02]) + digest[:5])
