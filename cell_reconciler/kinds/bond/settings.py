"""The steps that set the options of a bond that is there. Pure.

What interrupts traffic comes in one action: a bond goes down once, and its members leave once, whatever has to change.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from cell_reconciler.kinds.bond import options
from cell_reconciler.kinds.bond.actions import (
    ReconfigureBond,
    SetActive,
    SetNumbers,
    SetOptions,
    SetPrimary,
    fails_over_by_mac,
    usable,
)
from cell_reconciler.kinds.bond.modes import PRIMARY_MODES, BondMode
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.changes import Steps
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import named_paths
from cell_reconciler.model.change import Refusal, Risk
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, Effect, Field
from cell_reconciler.model.live import Link

Todo = frozenset[str]
# After a change of these the kernel chooses the active member anew.
MOVES_ACTIVE = frozenset({"members", "mode", "primary", "primaryReselect", "prio"}) | frozenset(
    field.yaml for field in options.PLAIN.values() if field.change in (Effect.EMPTY, Effect.DOWN)
)


def wanted(doc: Document, have: Observed, world: World) -> BondSpec:
    """The document's spec in canonical form, without what cannot be said of this bond on this kernel."""
    spec, bond, ours = layer3.canonical(doc.spec), have.detail, named_paths(doc, have.mark)
    mode = spec.mode if ours is None or "/spec/mode" in ours else have.spec.mode
    beyond = {f.name: UNSET for f in (*options.unsupported(spec, bond, mode), *options.unreadable(spec, bond))}
    want = options.wanted(msgspec.structs.replace(spec, **beyond), mode, have.spec, all_ours=ours is None)
    if want.active_slave is not UNSET and not usable(world.live.links.get(want.active_slave), doc.key.name):
        want = msgspec.structs.replace(want, active_slave=UNSET)
    return want


def impossible(doc: Document, want: BondSpec, bond: Link, todo: Todo) -> Iterator[Refusal]:
    """What the document names and this kernel or this bond cannot have."""
    for field in options.unsupported(doc.spec, bond, want.mode):
        option, since = field.extra["netlink"].removeprefix("bond_"), field.extra["since"]
        message = f"the running kernel's bonding driver has no {option}, so {field.yaml} of {bond.name} cannot be set"
        yield Refusal(reason="Unsupported", message=message, advice=f"leave it out, or run a kernel from {since} on")
    yield from out_of_mode(doc, want)
    if "mac" in todo and fails_over_by_mac(bond) == "active" and not interrupts(todo):
        message = f"{bond.name} has fail_over_mac active: its address is that of its active member"
        yield Refusal(reason="Conflict", message=message, advice="name failOverMac: none too, or leave mac out")


def will_fail_over_by_mac(want: BondSpec, bond: Link) -> bool:
    """``fails_over_by_mac`` once the options are set: the kernel says yes to another address and does nothing."""
    policy = bond.data.get("bond_fail_over_mac", "none") if want.fail_over_mac is UNSET else want.fail_over_mac
    return want.mode == BondMode.ACTIVE_BACKUP and policy != "none"


def out_of_mode(doc: Document, want: BondSpec) -> Iterator[Refusal]:
    """Options that only another mode has: a document that adopts may leave the mode out, and is not checked for it."""
    for field in options.given(doc.spec):
        if not options.counts(field.name, want.mode):
            message = f"{doc.key.name} is in mode {want.mode}, which has no {field.yaml}"
            yield Refusal(reason="Conflict", message=message, advice="name the mode in the document too")


def interrupts(todo: Todo) -> bool:
    """Do the members leave and come back anyway?"""
    return bool(todo & {"mode", "failOverMac"})


def configure(steps: Steps, doc: Document, have: Observed, want: BondSpec, world: World, todo: Todo) -> None:
    """All options that need no member by name; ``todo`` are the fields that differ and that are acted upon."""
    name, bond = doc.key.name, have.detail
    follows = "mac" in todo and fails_over_by_mac(bond) == "follow"
    chosen = [field for field in options.PLAIN.values() if field.yaml in todo]
    hard = [field for field in chosen if field.change in (Effect.EMPTY, Effect.DOWN)]
    if "mode" in todo:
        _rebuild(steps, doc, have, want, world, todo)
        return
    if hard or follows:
        _reconfigure(steps, doc, have, want, world, todo, hard)
    live = {field.name for field in chosen if field not in hard}
    if live:
        action = SetOptions(name=name, data=options.change(want, have.spec, live))
        steps.add("set", f"set {options.said(want, live)} of {name}", action, graph_of(world.live).blip(name))


def _reconfigure(
    steps: Steps, doc: Document, have: Observed, want: BondSpec, world: World, todo: Todo, hard: list[Field]
) -> None:
    name, names = doc.key.name, {field.name for field in hard}
    downs = any(field.change == Effect.DOWN for field in hard)
    empties = "mac" in todo or any(field.change == Effect.EMPTY for field in hard)
    action = ReconfigureBond(
        name=name,
        data=options.change(want, have.spec, names),
        downs=downs,
        empties=empties,
        mac=str(want.mac) if "mac" in todo else None,
    )
    how = [", for which its members leave and come back"] if empties and have.spec.members else []
    how += [", for which it goes down and up"] if downs and have.detail.up else []
    what = options.said(want, names) or f"the address {want.mac}"
    harm = graph_of(world.live).cut(name) if how else (Risk.NONE, "")
    steps.add("reconfigure", f"set {what} of {name}{''.join(how)}", action, harm)


def _rebuild(steps: Steps, doc: Document, have: Observed, want: BondSpec, world: World, todo: Todo) -> None:
    """Another mode, and in the same action everything that has to be said with it."""
    name, bond, ours = doc.key.name, have.detail, named_paths(doc, have.mark)
    # Also what the old mode does not report, but nothing that is to be left as it is.
    complete = options.wanted(want, want.mode, None, all_ours=ours is None)
    left = {n: getattr(have.spec, n) for n, f in options.PLAIN.items() if f"/spec/{f.yaml}" in doc.ignored}
    action = ReconfigureBond(
        name=name,
        data=options.for_mode(msgspec.structs.replace(complete, **left), have.spec, bond),
        before=options.left_behind(bond, want.mode, ours),
        downs=True,
        empties=True,
        mac=str(want.mac) if "mac" in todo else None,
    )
    others = options.said(want, {n for n, f in options.PLAIN.items() if f.yaml in todo})
    text = f"change the mode of {name} from {have.spec.mode} to {want.mode}: its members leave and come back"
    risk, why = graph_of(world.live).cut(name)
    harm = (max(risk, Risk.DISRUPTIVE), why or "a bond has no network while its mode changes")
    steps.add("rebuild", f"{text} ({others})" if others else text, action, harm)


def of_members(
    steps: Steps, name: str, want: BondSpec, there: set[str], todo: Todo, have: BondSpec | None = None
) -> None:
    """What can be said only of members that are ``there`` by then. ``have``: the bond now, if it exists."""
    if "primary" in todo and want.mode in PRIMARY_MODES and (want.primary is UNSET or want.primary in there):
        primary = None if want.primary is UNSET else want.primary
        text = f"prefer {primary or 'no member'} in {name}" if primary else f"prefer no member of {name}"
        steps.add("primary", text, SetPrimary(name=name, primary=primary))
    for field in (options.FIELDS["prio"], options.FIELDS["queue_id"]):
        numbers = getattr(want, field.name)
        if field.yaml not in todo or numbers is UNSET:
            continue
        known = {nic: number for nic, number in sorted(numbers.items()) if nic in there}
        if have is not None and known == (getattr(have, field.name) or {}):
            continue  # what differs is about a NIC that does not become a member
        text = f"set {field.yaml} of {', '.join(f'{nic} to {number}' for nic, number in known.items()) or 'all to 0'}"
        action = SetNumbers(name=name, option=field.extra["netlink"], numbers=known)
        steps.add(field.yaml.lower(), f"{text} in {name}", action)
    if "activeSlave" in todo and want.active_slave in there:
        activate(steps, name, want.active_slave)


def activate(steps: Steps, bond: str, nic: str) -> None:
    harm = (Risk.BLIP, f"{nic} becomes the active member")
    steps.add("active", f"make {nic} the active member of {bond}", SetActive(name=bond, member=nic), harm)


def notes(doc: Document, have: Observed, world: World) -> Iterator[str]:
    """Said beside the change; nothing that could be done."""
    bond = have.detail
    if unreadable := options.unreadable(doc.spec, bond):
        names = ", ".join(field.yaml for field in unreadable)
        yield f"{names} of {bond.name} cannot be read without CAP_NET_ADMIN, and so not compared"
    for nic in have.spec.members if doc.spec.mac is UNSET else ():
        if nic not in doc.spec.members and world.live.links[nic].permanent_mac == bond.mac:
            yield (
                f"{bond.name} keeps the address {bond.mac} of {nic}, which leaves: do not connect {nic} to the same "
                f"network, or give {bond.name} a mac"
            )
