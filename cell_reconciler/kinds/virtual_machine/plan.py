"""Differences → steps. The only place that decides what is done to a VM."""

from __future__ import annotations

import msgspec

from cell_reconciler.kinds.compare import plain
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.virtual_machine import (
    actions,
    choice,
    differ,
    guest_drivers,
    guest_os,
    observe,
    passwords,
    plan_devices,
    plan_disks,
    plan_power,
    plan_tuning,
    plan_update,
    power,
    seed,
    sources,
)
from cell_reconciler.kinds.virtual_machine import plan_refusals as refusals
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Cause, Change, FieldChange, Refusal, Step, Verb
from cell_reconciler.model.document import Document, mark_of
from cell_reconciler.model.fields import Effect, fields_of, given_paths


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
        change = plan_update.update(want, have, world)
        change = msgspec.structs.replace(change, fields=tuple(seed.said(change.fields, want, world)))
    return msgspec.structs.replace(change, position=want.position, derived_from=want.derived_from)


# -- create, remove --------------------------------------------------------------------------------------------


def _create(doc: Document, world: World) -> Change:
    want = differ.wanted(doc, world)
    name, places = doc.key.name, sources.wanted(want, world)
    starts = power.starts_when_created(want.run_strategy)
    refused = (
        *plan_disks.unknown(want, places),
        *refusals.unknown_filters(want, world),
        *plan_tuning.refusals(want, world),
        *refusals.conflicts(name, want, world),
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
        mark=mark_of(doc, differ.digest(doc, world)),
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
        steps += plan_update.ports(doc, None, world)
    steps += seed.sweeping(doc.key, want, world.live, lets_go=True)
    notes = (*guest_os.told(doc.spec), *guest_drivers.told(doc, world.documents))
    return Change(key=doc.key, verb=Verb.CREATE, fields=_named(doc), steps=tuple(steps), notes=notes)


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
    refused = refusals.left_alone(domain) or refusals.busy(domain)
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
