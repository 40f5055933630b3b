"""Differences → steps. The only place that decides what is done to a VM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cell_reconciler.kinds.compare import plain
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.virtual_machine import (
    actions,
    choice,
    differ,
    guest_os,
    live,
    observe,
    passwords,
    plan_devices,
    plan_disks,
    plan_power,
    plan_tuning,
    power,
    resolve,
    seed,
    sources,
    taps,
    update,
)
from cell_reconciler.kinds.virtual_machine.spec import RunStrategy, VirtualMachineSpec
from cell_reconciler.model.change import Cause, Change, FieldChange, Refusal, Step, Verb
from cell_reconciler.model.document import Document, mark_of
from cell_reconciler.model.fields import Effect, fields_of, given_paths
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import DiskSource

_GROWING = frozenset({"spec.cpu.sockets", "spec.memory.guest"})  # what a running VM gets more of needs room


def plan(want: Document | None, have: Observed | None, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``."""
    if want is None:
        if have is None:
            raise ValueError("neither declared nor there: nothing to plan")
        return _remove(have, world)
    if have is None:
        change = _create(want, world)
    elif have.mark is None and not want.adopts:
        change = _foreign(want)
    else:
        change = _update(want, have, world)
        change = msgspec.structs.replace(change, fields=tuple(seed.said(change.fields, want, world)))
    return msgspec.structs.replace(change, position=want.position, derived_from=want.derived_from)


# -- create, remove --------------------------------------------------------------------------------------------


def _create(doc: Document, world: World) -> Change:
    want = seed.with_drive(resolve.defined(doc, world.documents), doc, world)
    name, places = doc.key.name, sources.wanted(want, world)
    starts = power.starts_when_created(want.run_strategy)
    refused = (
        *plan_disks.unknown(want, places),
        *_unknown_filters(want, world),
        *plan_tuning.refusals(want, world),
        *_conflicts(name, want, world),
        *plan_disks.of_the_host(want, world),
        *plan_devices.refusals(name, want, world, starts=starts),
        *plan_power.beyond(want, world),
        *(plan_power.stuck(doc, want, world) if starts else ()),
        *seed.refusal(doc, world.live),
        *passwords.refusal(doc, world.live),
    )
    if refused:
        return Change(key=doc.key, verb=Verb.CREATE, refused=refused)
    define = actions.Define(
        name=name,
        spec=want,
        sources=places,
        mark=mark_of(doc, resolve.digest(doc.spec)),
        domain_type=world.domain_type,
        start_due=want.run_strategy in power.RUNS_ONCE,
        chosen=dict(choice.chosen(name, world)),
    )
    steps = [*seed.making(doc, want, world.live, (seed.DRIVE_PATH,))]
    steps.append(Step(key=doc.key, op="vm.define", text=f"define VM {name}", action=define))
    if passwords.file_of(doc):
        steps.append(passwords.keeping(doc, define.mark))  # before anybody may start it
    if want.autostart:
        steps.append(plan_power.autostart(doc.key, True))
    if starts:
        steps.append(plan_power.start(doc, want, world))
        steps += _ports(doc, None, world)
    steps += seed.sweeping(doc.key, want, world.live, lets_go=True)
    return Change(key=doc.key, verb=Verb.CREATE, fields=_named(doc), steps=tuple(steps), notes=guest_os.told(doc.spec))


def _named(doc: Document) -> tuple[FieldChange, ...]:
    """What the document says itself, for showing what comes into being."""
    named = set(given_paths(doc.given))
    return tuple(
        FieldChange(
            path=f"spec.{field.yaml}", have=None, want=plain(getattr(doc.spec, field.name)), effect=field.change
        )
        for field in fields_of(VirtualMachineSpec)
        if f"/spec/{field.yaml}" in named and field.change != Effect.POLICY
    )


def _remove(have: Observed, world: World) -> Change:
    key, domain = have.key, have.detail
    name = key.name
    if domain is None:
        return Change(key=key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=tuple(seed.removing(name, world.live)))
    refused = _left_alone(domain) or _busy(domain)
    if refused:
        return Change(key=key, verb=Verb.DELETE, cause=Cause.PRUNE, refused=refused)
    if have.mark and have.mark.adopted:
        text = f"give up VM {name}, which was adopted: it stays"
        step = Step(key=key, op="vm.release", text=text, action=actions.Release(name))
        return Change(key=key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=(step,))
    steps = []
    if actions.active(domain):
        note = observe.parsed(domain.inactive).note
        stop = actions.Stop(name, float(note.stop), note.force)
        steps.append(plan_power.stop(key, stop, "it runs, and no document declares it any more"))
    undefine = Step(
        key=key,
        op="vm.undefine",
        text=f"undefine VM {name} (its disks, NVRAM and TPM state stay)",
        action=actions.Undefine(name),
        deletes=True,
    )
    images = seed.removing(name, world.live)  # before the definition, without which nobody would look for them
    return Change(key=key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=(*steps, *images, undefine))


def _foreign(doc: Document) -> Change:
    refusal = Refusal(
        reason="Foreign",
        message=f"a domain named {doc.key.name} exists that is not ours",
        advice="rename one of them, or take it over with the annotation cell/adopt: 'true'",
    )
    return Change(key=doc.key, verb=Verb.NONE, refused=(refusal,))


# -- update ----------------------------------------------------------------------------------------------------


def _update(doc: Document, have: Observed, world: World) -> Change:
    domain: Domain = have.detail
    key, alone = doc.key, _left_alone(domain)
    if domain.inactive is None:
        return Change(key=key, verb=Verb.UPDATE, refused=alone)
    found = differ.differences(doc, domain, have.mark, world)
    act = power.decide(power.strategy(doc, have.mark), domain, observe.parsed(domain.inactive).note.start_due)
    loose, ports = taps.loose(domain, world.live), tuple(taps.differences(doc, domain, have.mark, world))
    mark = _mark(doc, have)
    reboot = update.reboot_action(doc, have.mark, domain, found.want, pending=bool(found.boot))
    settled = not found.any and not loose and not ports and act == power.Power.LEAVE and reboot is None
    settled = settled and not seed.untidy(doc, found.want, world.live) and not any(passwords.refusal(doc, world.live))
    if have.mark and have.mark.flags == mark.flags and settled and not (alone and _held(doc, have)):
        return Change(key=key, verb=Verb.NONE, notes=_unknown(doc, world))
    want, places = found.want, sources.wanted(found.want, world)
    restarts = bool(found.boot)  # what differs in the definition alone is right in the instance that runs
    allowed = restarts and update.due(want, world.live.at)
    wakes = act == power.Power.START and not actions.active(domain)
    stuck = plan_power.stuck(doc, want, world) if wakes or (allowed and act != power.Power.STOP) else ()
    allowed = allowed and not stuck
    fields = _fields(found, domain, act, pending=restarts and not allowed and act != power.Power.STOP)
    fields += tuple(field for port in ports for field in port.fields)
    refused = (
        *_immutable(found.immutable),
        *(plan_disks.unknown(want, places) if found.define else ()),
        *plan_disks.foreign(doc, domain, found, world),
        *(_unknown_filters(want, world) if _filters(found) else ()),
        *plan_tuning.changed(found, world),
        *(_conflicts(key.name, want, world) if _identities(found) else ()),
        *(plan_disks.of_the_host(want, world) if _identities(found) or act == power.Power.START or allowed else ()),
        *plan_devices.changed(found, domain, world, starts=allowed or act == power.Power.START),
        *(plan_power.beyond(want, world) if found.define or found.boot else ()),
        *(plan_power.crowded(doc, world) if _GROWING & found.live.keys() else ()),
    )
    steps: list[Step] = []
    if not refused:
        chosen = dict(choice.chosen(key.name, world))
        steps += seed.making(doc, want, world.live, found.define)
        steps += _defining(key, found, places, chosen, mark, have, remark=bool(ports))
        steps += [passwords.keeping(doc, mark)] if passwords.PATH in found.define else []
        steps += live.steps(key, found, domain, world)
        steps += taps.plugging(key, loose)
        if reboot is not None and not allowed and act == power.Power.LEAVE:
            steps.append(plan_power.reboot(key, reboot))
        starts = (act == power.Power.START or allowed) and not stuck
        if not starts and act != power.Power.STOP:
            steps += [port.step for port in ports if port.step]
            steps += _ports(doc, have.mark, world, live.plugged(found))
        does = power.Power.LEAVE if stuck and wakes else act
        steps += plan_power.steps(doc, want, does, world, restart=allowed)
        steps += _ports(doc, have.mark, world) if starts and act != power.Power.STOP else ()
        lets_go = allowed or act == power.Power.STOP or seed.replaced(found.live)
        steps += seed.sweeping(key, want, world.live, lets_go=lets_go)
    # A file that cannot be read holds up nothing else.
    refused += (*stuck, *seed.refusal(doc, world.live), *passwords.refusal(doc, world.live))
    different = bool(steps or refused or any(not field.ignored for field in fields))
    verb = Verb.ADOPT if have.mark is None else Verb.UPDATE if different else Verb.NONE
    if alone and (steps or act != power.Power.LEAVE or _held(doc, have)):
        refused, steps = (*refused, *alone), []
        verb = Verb.UPDATE if verb == Verb.NONE else verb
    elif any(step.op != "vm.start" for step in steps) and (busy := _busy(domain)):
        # It may go on as it is, and start as it is: what waits is the change.
        refused, steps = (*refused, *busy), [step for step in steps if step.op == "vm.start" and not step.restart]
    # The digest is that of what was defined last: what differs from the same spec was changed by somebody else.
    fresh = seed.other_data(found.define, key.name, world.live) | {passwords.PATH}
    differs = bool((found.define.keys() | found.live.keys()) - fresh or loose or ports) or (
        act == power.Power.START and want.run_strategy == RunStrategy.ALWAYS
    )
    drift = differs and have.mark is not None and have.mark.digest == mark.digest
    return Change(
        key=key,
        verb=verb,
        cause=Cause.CRASH if power.went_down(domain, act) else Cause.DRIFT if drift else Cause.SPEC,
        fields=fields,
        steps=tuple(steps),
        refused=refused,
        notes=tuple(_notes(doc, have, found, fields, world)),
        again=update.opens(want, world.live.at) if any(f.pending for f in fields) else None,
    )


def _notes(
    doc: Document, have: Observed, found: differ.Differences, fields: tuple[FieldChange, ...], world: World
) -> Iterable[str]:
    if waiting := [field.path for field in fields if field.pending]:
        told = update.told(doc, have.mark, found.want, world.live.at)
        yield f"takes effect at the next start: {', '.join(waiting)} ({told})"
    yield from _unknown(doc, world)
    if any(path.startswith(("spec.clock", "spec.features")) for path in (*found.define, *found.boot)):
        yield from guest_os.told(doc.spec)


def _unknown(doc: Document, world: World) -> tuple[str, ...]:
    """What is secret, and could not be compared."""
    return (*seed.notes(doc, world.live), *passwords.notes(doc, world.live))


def _mark(doc: Document, have: Observed) -> Mark:
    digest = resolve.digest(doc.spec)
    return mark_of(doc, digest, adopted=have.mark.adopted if have.mark else True)


def _held(doc: Document, have: Observed) -> bool:
    """Should it run, while its state keeps it from running?"""
    return power.strategy(doc, have.mark) == RunStrategy.ALWAYS


def _identities(found: differ.Differences) -> bool:
    """Did something change that must be unique on the host?"""
    return any(word in path for path in found.define for word in (".mac", "disks[", "interfaces["))


def _fields(found: differ.Differences, domain: Domain, act: power.Power, *, pending: bool) -> tuple[FieldChange, ...]:
    fields = found.fields if pending else tuple(msgspec.structs.replace(f, pending=False) for f in found.fields)
    if act != power.Power.LEAVE and domain.state in (power.OFF | power.ON):
        wanted = "running" if act == power.Power.START else "shutoff"
        if wanted != domain.state:
            change = FieldChange(path="spec.runStrategy", have=domain.state, want=wanted, effect=Effect.LIVE)
            fields = (*fields, change)
    return fields


def _defining(
    key: Key,
    found: differ.Differences,
    places: dict[str, DiskSource],
    chosen: dict[str, str],
    mark: Mark,
    have: Observed,
    *,
    remark: bool,
) -> Iterable[Step]:
    """``remark``: something is done that stands in no XML; the mark tells later which spec it was done for."""
    paths = frozenset(found.define) - {"spec.autostart", passwords.PATH}
    if paths or have.mark is None or have.mark.flags != mark.flags or (remark and have.mark != mark):
        redefine = actions.Redefine(
            name=key.name,
            spec=found.want,
            sources=places,
            chosen=chosen,
            mark=mark,
            paths=paths,
            module=found.module,
        )
        adopt = have.mark is None
        said = ", ".join(sorted(set(map(seed.spoken, paths)))) or "its mark"
        text = f"take over VM {key.name}" if adopt else f"define VM {key.name}: {said}"
        yield Step(key=key, op="vm.adopt" if adopt else "vm.redefine", text=text, action=redefine)
    if "spec.autostart" in found.define:
        yield plan_power.autostart(key, found.want.autostart)


def _ports(doc: Document, mark: Mark | None, world: World, names: frozenset[str] | None = None) -> Iterable[Step]:
    """What the taps need that come into being in this plan (None: all of them): they have the kernel's defaults."""
    wanted = taps.settings(doc, mark, world.documents)
    return [taps.step(doc.key, s) for s in wanted if s.unusual and (names is None or s.interface in names)]


# -- refusals --------------------------------------------------------------------------------------------------


def _left_alone(domain: Domain) -> tuple[Refusal, ...]:
    return _waiting(power.unsettled(domain))


def _busy(domain: Domain) -> tuple[Refusal, ...]:
    return _waiting(power.busy(domain))


def _waiting(state: power.Why | None) -> tuple[Refusal, ...]:
    if state is None:
        return ()
    reason, message, advice = state
    return (Refusal(reason=reason, message=message, advice=advice, waiting=True),)


def _immutable(changes: tuple[FieldChange, ...]) -> tuple[Refusal, ...]:
    advice = "set it back, or undefine the VM by hand (virsh undefine --keep-nvram) and let it be made anew"
    return tuple(
        Refusal(reason="Immutable", message=f"{c.path} cannot change from {c.have} to {c.want}", advice=advice)
        for c in changes
    )


def _filters(found: differ.Differences) -> bool:
    """Does an interface get another filter, or come with one?"""
    return any(path.startswith("spec.interfaces[") and path.endswith((".filter", "]")) for path in found.define)


def _unknown_filters(want: VirtualMachineSpec, world: World) -> Iterable[Refusal]:
    """libvirt defines a VM with a filter that it does not have, and then cannot start it."""
    there = world.live.nwfilters
    for nic in want.interfaces:
        chosen: Any = nic.filter
        if chosen is not None and there is not None and chosen.name not in there:
            message = f"interface {nic.name}: libvirt has no network filter {chosen.name} on this host"
            advice = "define it: virsh nwfilter-define FILE; libvirt's own come with libvirt-daemon-config-nwfilter"
            yield Refusal(reason="UnknownFilter", message=message, advice=advice)


def _conflicts(name: str, want: VirtualMachineSpec, world: World) -> Iterable[Refusal]:
    """Identities that another domain or a link of the host has already: libvirt itself accepts all but the UUID."""
    macs, disks = {nic.mac for nic in want.interfaces}, plan_disks.Mine(want, world)
    for link in world.live.links.values():  # a tap has an address of its own, which begins with fe
        if link.mac in macs:
            message = f"link {link.name} of the host has the MAC {link.mac} already"
            yield Refusal(reason="Conflict", message=message, advice="give the interface of the VM another MAC")
    for other, raw in observe.others(world.live, name):
        taken = [f"the UUID {want.uuid}"] if raw.spec.uuid == want.uuid else []
        taken += [f"the MAC {nic.mac}" for nic in raw.spec.interfaces if nic.mac in macs]
        taken += disks.taken(raw)
        if taken:
            message = f"domain {other} has {', '.join(taken)} already"
            yield Refusal(reason="Conflict", message=message, advice=f"change one of them, or remove domain {other}")
