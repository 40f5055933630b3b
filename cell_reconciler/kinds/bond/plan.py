"""What to do about a bond. Pure.

The order: what is ours first, then the mode (the only thing that interrupts traffic), then what is changed live, then
new members before old ones leave, then what needs members. A member that another resource of ours still holds is
taken only after that one let it go; to be free of circles, a bond that waits for a member lets go of its own first.
"""

from __future__ import annotations

from cell_reconciler.kinds.bond.actions import RebuildBond, SetPrimary
from cell_reconciler.kinds.bond.members import Member, member
from cell_reconciler.kinds.bond.spec import PRIMARY_MODES, BondSpec
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.actions import Attach, CreateLink, DeleteLink, Release, SetData, SetLink
from cell_reconciler.kinds.links.changes import (
    Steps,
    acted_upon,
    created,
    differences,
    given_up,
    objection,
    pruned,
    settled,
    stable_mac,
)
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import fresh_mark, named_paths, owner_of
from cell_reconciler.model.change import Change, Refusal, Risk, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Link


def plan(want: Document | None, have: Observed | None, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``."""
    if want is None:
        if have is None:
            raise ValueError("nothing is wanted and nothing is there")
        return _delete(have, world)
    if have is None:
        return _create(want, world)
    if refusal := objection(want, have, "bond"):
        return Change(key=want.key, verb=Verb.NONE, refused=(refusal,), position=want.position)
    return _update(want, have, world)


def _create(doc: Document, world: World) -> Change:
    name, spec = doc.key.name, doc.spec
    members = [member(nic, doc.key, world) for nic in spec.members]
    usable = [m for m in members if m.refusal is None]
    refused = [m.refusal for m in members if m.refusal is not None]
    steps = Steps(doc.key)
    if spec.members and not usable:
        return created(doc, steps, refused, spec)
    mac = str(spec.mac) if spec.mac is not UNSET else _first_mac(spec, world) or stable_mac(world.host, name)
    create = CreateLink(
        name=name,
        kind="bond",
        mac=mac,
        alias=fresh_mark(doc, None).to_text(),
        data={"bond_mode": spec.mode.value, "bond_miimon": spec.miimon},
    )
    steps.add("create", f"create bond {name} in mode {spec.mode}", create)
    if spec.mtu is not UNSET:
        steps.add("mtu", f"set the MTU of {name} to {spec.mtu}", SetLink(name=name, mtu=spec.mtu))
    for each in usable:
        _attach(steps, name, each)
    _primary(steps, spec, name, [m.name for m in usable])
    steps.add("up", f"bring {name} up", SetLink(name=name, up=True))
    return created(doc, steps, refused, spec)


def _first_mac(spec: BondSpec, world: World) -> str | None:
    """The permanent address of the alphabetically first member that is there: it does not depend on their order."""
    for nic in sorted(spec.members):
        link = world.live.links.get(nic)
        if link is not None:
            return link.permanent_mac or link.mac
    return None


def _update(doc: Document, have: Observed, world: World) -> Change:
    name, spec, link = doc.key.name, doc.spec, have.detail
    fields = differences(doc, spec, have)
    todo = acted_upon(fields)
    graph = graph_of(world.live)
    blip = graph.blip(name) if todo else (Risk.NONE, "")
    steps = Steps(doc.key)
    refused: list[Refusal] = []
    if "mode" in todo:
        risk, why = graph.cut(name)
        text = f"change the mode of {name} from {have.spec.mode} to {spec.mode}: its members leave and come back"
        harm = (max(risk, Risk.DISRUPTIVE), why or "a bond has no network while its mode changes")
        steps.add("rebuild", text, RebuildBond(name=name, mode=spec.mode.value), harm)
    if "miimon" in todo:
        action = SetData(name=name, kind="bond", data={"bond_miimon": spec.miimon})
        steps.add("set", f"set miimon of {name} to {spec.miimon} ms", action, blip)
    if "mtu" in todo:
        steps.add("mtu", f"set the MTU of {name} to {spec.mtu}", SetLink(name=name, mtu=spec.mtu), blip)
    if "mac" in todo:
        steps.add("mac", f"set the address of {name} to {spec.mac}", SetLink(name=name, mac=str(spec.mac)), blip)
    if "members" in todo:
        refused += _members(steps, doc, have, world)
    # The kernel remembers a preference through modes that have none, and returns to it.
    if "primary" in todo or ("mode" in todo and named_paths(doc, have.mark) is None):
        _primary(steps, spec, name, spec.members, have)
    _upkeep(steps, doc, have, world)
    if not link.up:
        steps.add("up", f"bring {name} up", SetLink(name=name, up=True))
    return settled(doc, have, fields, steps, refused)


def _members(steps: Steps, doc: Document, have: Observed, world: World) -> list[Refusal]:
    name, spec = doc.key.name, doc.spec
    graph = graph_of(world.live)
    coming = [member(nic, doc.key, world) for nic in spec.members if nic not in have.spec.members]
    free = [m for m in coming if m.refusal is None and not m.waits]
    held = [m for m in coming if m.refusal is None and m.waits]
    leaving = [nic for nic in have.spec.members if nic not in spec.members]
    staying = [nic for nic in have.spec.members if nic in spec.members]
    for each in free:
        _attach(steps, name, each)
    carries_on = free or any(world.live.links[nic].carrier for nic in staying)
    for nic in leaving:
        harm = graph.blip(name) if carries_on else graph.cut(name)
        action = Release(name=nic, master=name)
        steps.add("release", f"take {nic} out of {name}", action, harm, gives=(f"free:{nic}",))
    if held and not staying and not free:  # an empty bond takes a random address
        mac = spec.mac if spec.mac is not UNSET else have.detail.mac
        steps.add("mac", f"keep the address {mac} of {name}", SetLink(name=name, mac=str(mac)))
    for each in held:
        _attach(steps, name, each)
    return [m.refusal for m in coming if m.refusal is not None]


def _attach(steps: Steps, bond: str, each: Member) -> None:
    action = Attach(name=each.name, master=bond, to_bond=True, take_from=each.take_from)
    needs = (f"free:{each.name}",) if each.waits else ()
    steps.add("enslave", f"make {each.name} a member of {bond}", action, each.harm, needs=needs)


def _primary(
    steps: Steps, spec: BondSpec, name: str, members: list[str] | tuple[str, ...], have: Observed | None = None
) -> None:
    if spec.mode not in PRIMARY_MODES:
        return
    if spec.primary is not UNSET and spec.primary in members:
        action = SetPrimary(name=name, primary=spec.primary)
        steps.add("primary", f"prefer {spec.primary} in {name}", action)
    elif spec.primary is UNSET and have is not None:
        steps.add("primary", f"prefer no member of {name}", SetPrimary(name=name, primary=None))


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


def _delete(have: Observed, world: World) -> Change:
    if have.mark is not None and have.mark.adopted:
        return given_up(have)
    name, bond = have.key.name, have.detail
    graph = graph_of(world.live)
    steps, refused = Steps(have.key), []
    uppers = [*graph.stacked(name), *(world.live.links[m] for m in [bond.master] if m in world.live.links)]
    for upper in uppers:
        owner = owner_of(upper)
        if owner is None or (owner in world.documents and not _leaves(name, world.documents[owner])):
            whose = f"{owner}, which is declared" if owner else "somebody else's"
            refused.append(
                Refusal(
                    reason="ForeignDependents",
                    message=f"{upper.name} is on {name} ({whose}); deleting {name} would cut it off",
                    advice=f"take {upper.name} off {name} first, or declare Bond/{name} again",
                )
            )
    harm = graph.cut(name)
    for nic in have.spec.members:
        action = Release(name=nic, master=name)
        needs = (f"free:{name}",) if nic == have.spec.members[0] else ()
        steps.add("release", f"take {nic} out of {name}", action, harm, needs=needs, gives=(f"free:{nic}",))
    steps.add("delete", f"delete bond {name}", DeleteLink(name=name), harm, deletes=True, needs=(f"free:{name}",))
    return pruned(have, steps, refused)


def _leaves(bond: str, doc: Document) -> bool:
    """Does this declared resource, which stands on the bond now, not want it any more?"""
    return doc.key.kind == "Bridge" and doc.spec.uplink != bond
