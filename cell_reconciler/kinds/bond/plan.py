"""What to do about a bond. Pure.

The order: what is ours first, then in one action what interrupts traffic (a mode, and options that need the bond down
or empty), then what is changed live, then new members before old ones leave, then what needs members, then layer 3. A
member that another resource of ours still holds is taken only after that one let it go; to be free of circles, a bond
that waits for a member lets go of its own first.
"""

from __future__ import annotations

import msgspec

from cell_reconciler.kinds.bond import options, settings
from cell_reconciler.kinds.bond.actions import CreateBond, ReconfigureBond, ReleaseMember, fails_over_by_mac
from cell_reconciler.kinds.bond.delete import delete
from cell_reconciler.kinds.bond.members import Member, member
from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import Attach, SetLink
from cell_reconciler.kinds.links.changes import (
    Steps,
    acted_upon,
    afterwards,
    created,
    differences,
    leaves_address,
    objection,
    settled,
    stable_mac,
)
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import named_paths, new_mark
from cell_reconciler.model.change import Change, Refusal, Risk, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Link


def plan(want: Document | None, have: Observed | None, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``."""
    if want is None:
        if have is None:
            raise ValueError("nothing is wanted and nothing is there")
        return delete(have, world)
    if have is None:
        return _create(want, world)
    if refusal := objection(want, have, "bond"):
        return Change(key=want.key, verb=Verb.NONE, refused=(refusal,), position=want.position)
    return _update(want, have, world)


def _create(doc: Document, world: World) -> Change:
    name, spec = doc.key.name, layer3.canonical(doc.spec)
    members = [member(nic, doc.key, world) for nic in sorted(spec.members)]
    usable = [m for m in members if m.refusal is None]
    refused = [m.refusal for m in members if m.refusal is not None]
    steps = Steps(doc.key)
    if spec.members and not usable:
        return created(doc, steps, refused, spec)
    create = CreateBond(
        name=name,
        kind="bond",
        mac=_mac(doc, world),
        mtu=None if spec.mtu is UNSET else spec.mtu,
        ipv6=layer3.create_ipv6(doc),
        alias=new_mark(doc).to_text(),
        data=options.creation(spec),
    )
    steps.add("create", f"create bond {name} in mode {spec.mode}", create)
    for each in usable:
        _attach(steps, name, each)
    want = options.wanted(spec, spec.mode, None, all_ours=True)
    refused += settings.out_of_mode(doc, want)
    said = frozenset(field.yaml for field in options.given(want))
    settings.of_members(steps, name, want, {m.name for m in usable}, said)
    steps.add("up", f"bring {name} up", SetLink(name=name, up=True))
    layer3.create(steps, doc, world)
    return created(doc, steps, refused, spec)


def _mac(doc: Document, world: World) -> str | None:
    """The address to create it with: declared, or the permanent one of the alphabetically first member that is there,
    so that it does not depend on their order. None: the kernel gives it that of its active member."""
    spec: BondSpec = doc.spec
    if spec.mac is not UNSET:
        return str(spec.mac)
    if spec.fail_over_mac == "active" and spec.mode == BondMode.ACTIVE_BACKUP:
        return None
    links = (world.live.links.get(nic) for nic in sorted(spec.members))
    first = next((link for link in links if link is not None), None)
    return first.permanent_mac or first.mac if first else stable_mac(world.host, doc.key.name)


def _update(doc: Document, have: Observed, world: World) -> Change:
    name, bond = doc.key.name, have.detail
    want = settings.wanted(doc, have, world)
    fields = differences(doc, want, have)
    todo = acted_upon(fields)
    steps, refused = Steps(doc.key), list(settings.impossible(doc, want, bond, todo))
    settings.configure(steps, doc, have, want, world, todo)
    blip = graph_of(world.live).blip(name) if {"mtu", "mac"} & todo else (Risk.NONE, "")  # of a thousand VLANs
    if "mtu" in todo and want.mtu is not UNSET:
        action = SetLink(name=name, mtu=want.mtu)
        steps.add("mtu", f"set the MTU of {name} to {want.mtu}", action, blip, gives=(f"mtu:{name}",))
    if "mac" in todo and fails_over_by_mac(bond) is None and not settings.interrupts(todo):
        steps.add("mac", f"set the address of {name} to {want.mac}", SetLink(name=name, mac=str(want.mac)), blip)
    if "members" in todo:
        refused += _members(steps, doc, have, want, world)
    _said_of_members(steps, doc, have, want, todo)
    _upkeep(steps, doc, have, world)
    if not bond.up:
        steps.add("up", f"bring {name} up", SetLink(name=name, up=True), gives=(f"up:{name}",))
    layer3.update(steps, doc, have, world, todo)
    change = settled(doc, have, fields, steps, refused)
    return msgspec.structs.replace(change, notes=(*change.notes, *settings.notes(doc, have, world)))


def _said_of_members(steps: Steps, doc: Document, have: Observed, want: BondSpec, todo: frozenset[str]) -> None:
    ours = named_paths(doc, have.mark)
    there = {*have.spec.members, *(step.action.name for step in steps.steps if isinstance(step.action, Attach))}
    if "mode" in todo and (ours is None or "/spec/primary" in ours):
        todo |= {"primary"}  # the kernel remembers a preference through modes that have none
    settings.of_members(steps, doc.key.name, want, there, todo, have.spec)
    active = doc.spec.active_slave
    if active not in there or "activeSlave" in todo or not options.counts("active_slave", want.mode):
        return
    if steps.steps and todo & settings.MOVES_ACTIVE:
        settings.activate(steps, doc.key.name, active)


def _members(steps: Steps, doc: Document, have: Observed, want: BondSpec, world: World) -> list[Refusal]:
    name, spec = doc.key.name, doc.spec
    graph = graph_of(world.live)
    coming = [member(nic, doc.key, world) for nic in sorted(spec.members) if nic not in have.spec.members]
    free = [m for m in coming if m.refusal is None and not m.waits]
    held = [m for m in coming if m.refusal is None and m.waits]
    leaving = [nic for nic in have.spec.members if nic not in spec.members]
    staying = [nic for nic in have.spec.members if nic in spec.members]
    for each in free:
        _attach(steps, name, each)
    carries_on = free or any(world.live.links[nic].carrier for nic in staying)
    mac = spec.mac if spec.mac is not UNSET else have.detail.mac
    for nic in leaving:
        harm = graph.blip(name) if carries_on else graph.cut(name)
        link = world.live.links[nic]
        own = link if link.permanent_mac is None else msgspec.structs.replace(link, mac=link.permanent_mac)
        silent = fails_over_by_mac(have.detail) != "active" and leaves_address(own, str(mac), world)
        text = f"take {nic} out of {name}" + (f", its IPv6 off: {name} keeps its address" if silent else "")
        later = afterwards(nic, world)
        action = ReleaseMember(name=nic, master=name, hand_over=bool(carries_on), silent=silent, **later)
        steps.add("release", text, action, harm, gives=(f"free:{nic}", f"left:{nic}"))
    # An empty bond takes a random address.
    if leaving and not staying and not free:
        held_by_mac = settings.will_fail_over_by_mac(want, have.detail)
        keep = ReconfigureBond(name=name, data={}, empties=True, mac=str(mac)) if held_by_mac else None
        if keep is None or spec.mac is not UNSET:
            steps.add("mac", f"keep the address {mac} of {name}", keep or SetLink(name=name, mac=str(mac)))
    for each in held:
        _attach(steps, name, each)
    return [m.refusal for m in coming if m.refusal is not None]


def _attach(steps: Steps, bond: str, each: Member) -> None:
    action = Attach(name=each.name, master=bond, to_bond=True, take_from=each.take_from)
    needs = (f"free:{each.name}",) if each.waits else ()
    steps.add("enslave", f"make {each.name} a member of {bond}", action, each.harm, needs=needs)


def _upkeep(steps: Steps, doc: Document, have: Observed, world: World) -> None:
    """Members follow the bond, but the kernel lets others take them down or give them another MTU."""
    bond: Link = have.detail
    for nic in have.spec.members:
        link = world.live.links[nic]
        if nic not in doc.spec.members:
            continue
        if link.mtu != bond.mtu:
            mtu = doc.spec.mtu if doc.spec.mtu is not UNSET else bond.mtu
            steps.add("member-mtu", f"set the MTU of {nic} to {mtu}, as {bond.name} has", SetLink(name=nic, mtu=mtu))
        if not link.up:
            steps.add("member-up", f"bring {nic} up", SetLink(name=nic, up=True))
