"""A VM that is declared and there: differences → steps.

The definition is changed first, then the running instance, then whether it runs. An objection to the change holds up
all of it; what only keeps the VM from starting holds up the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.virtual_machine import (
    actions,
    choice,
    differ,
    guest_drivers,
    guest_os,
    live,
    observe,
    passwords,
    plan_capacity,
    plan_devices,
    plan_disks,
    plan_power,
    plan_tuning,
    power,
    seed,
    sources,
    taps,
    update_policy,
)
from cell_reconciler.kinds.virtual_machine import plan_refusals as refusals
from cell_reconciler.kinds.virtual_machine.power import Power
from cell_reconciler.kinds.virtual_machine.spec import RunStrategy, VirtualMachineSpec
from cell_reconciler.model.change import Cause, Change, FieldChange, Refusal, Step, Verb
from cell_reconciler.model.document import Document, mark_of
from cell_reconciler.model.fields import Effect, given_paths
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark


class _Look(NamedTuple):
    """Document, domain, and how they differ: all that is decided follows from these."""

    doc: Document
    domain: Domain
    had: Mark | None
    found: differ.Differences
    act: Power
    loose: tuple[taps.Place, ...]  # taps that have no master
    ports: tuple[taps.Different, ...]  # settings of taps
    reboot: str | None  # what the instance is to do when its guest reboots, if that is to change
    world: World

    @property
    def key(self) -> Key:
        return self.doc.key

    @property
    def mark(self) -> Mark:
        """That it must carry: the one it has, as long as it is not all that its document says."""
        return self.had if self.found.held and self.had is not None else self.declared

    @property
    def declared(self) -> Mark:
        return self._mark(differ.digest(self.doc, self.world))

    def _mark(self, digest: str) -> Mark:
        return mark_of(self.doc, digest, adopted=self.had.adopted if self.had else True)

    @property
    def want(self) -> VirtualMachineSpec:
        return self.found.want

    @property
    def held(self) -> bool:
        """Should it run, whatever its state is?"""
        return power.strategy(self.doc, self.had) == RunStrategy.ALWAYS

    @property
    def settled(self) -> bool:
        live_ = self.world.live
        same = not (self.found.any or self.loose or self.ports) and self.act == Power.LEAVE and self.reboot is None
        tidy = not seed.untidy(self.doc, self.want, live_) and not any(passwords.refusal(self.doc, live_))
        return same and tidy and self.had is not None and self.had.flags == self._mark("").flags


def update(doc: Document, have: Observed, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``; the domain is ours, or is to be taken over."""
    domain: Domain = have.detail
    alone = refusals.left_alone(domain)
    if domain.inactive is None:
        return Change(key=doc.key, verb=Verb.UPDATE, refused=alone)
    at = _look(doc, domain, have.mark, world)
    if at.settled and not (alone and at.held):
        return Change(key=at.key, verb=Verb.NONE, notes=_unknown(at))
    stuck, restart = _startable(at)
    fields = tuple(_fields(at, pending=bool(at.found.boot) and not restart and at.act != Power.STOP))
    busy = refusals.busy(domain)  # its XML is not what it will be: a change is judged when that is over
    refused = () if busy else tuple(_objections(at, restart=restart))
    steps = [] if refused else list(_steps(at, stuck=bool(stuck), restart=restart))
    refused += refusals.machine(at.found) if at.had is not None and not busy else ()  # what is live goes on beside it
    # A file that cannot be read holds up nothing else.
    refused += (*stuck, *seed.refusal(doc, world.live), *passwords.refusal(doc, world.live))
    different = bool(steps or refused or any(not field.ignored for field in fields))
    verb = Verb.ADOPT if at.had is None else Verb.UPDATE if different else Verb.NONE
    if alone and (steps or at.act != Power.LEAVE or at.held):
        refused, steps = (*refused, *alone), []
        verb = Verb.UPDATE if verb == Verb.NONE else verb
    elif busy and any(step.op != "vm.start" for step in steps):
        # It may go on as it is, and start as it is: what waits is the change.
        refused, steps = (*refused, *busy), [step for step in steps if step.op == "vm.start" and not step.restart]
    return Change(
        key=at.key,
        verb=verb,
        cause=_cause(at),
        fields=fields,
        steps=tuple(steps),
        refused=refused,
        notes=tuple(_notes(at, fields)),
        again=update_policy.opens(at.want, world.live.at) if any(f.pending for f in fields) else None,
    )


def _look(doc: Document, domain: Domain, had: Mark | None, world: World) -> _Look:
    found = differ.differences(doc, domain, had, world)
    note = observe.parsed(domain.inactive or "").note
    return _Look(
        doc=doc,
        domain=domain,
        had=had,
        found=found,
        act=power.decide(power.strategy(doc, had), domain, note.start_due),
        loose=taps.loose(domain, world.live),
        ports=tuple(taps.differences(doc, domain, had, world)),
        reboot=update_policy.reboot_action(doc, had, domain, found.want, pending=bool(found.boot)),
        world=world,
    )


def _wakes(at: _Look) -> bool:
    return at.act == Power.START and not actions.active(at.domain)


def _startable(at: _Look) -> tuple[tuple[Refusal, ...], bool]:
    """What keeps it from starting now, where it would; and whether it is restarted for what is pending.

    What differs in the definition alone is right in the instance that runs.
    """
    due = bool(at.found.boot) and update_policy.due(at.want, at.world.live.at)
    would = _wakes(at) or (due and at.act != Power.STOP)
    stuck = tuple(plan_power.stuck(at.doc, at.want, at.world)) if would else ()
    return stuck, due and not stuck


def _objections(at: _Look, *, restart: bool) -> Iterator[Refusal]:
    """To the change itself; only what it is about is asked."""
    found, want, world = at.found, at.want, at.world
    starts, identities = at.act == Power.START or restart, refusals.identities(found)
    yield from refusals.immutable(found)
    if at.had is None:
        yield from refusals.machine(found)
    if found.define:
        yield from plan_disks.unknown(want, sources.wanted(want, world))
    yield from plan_disks.foreign(at.doc, at.domain, found, world)
    if refusals.filters(found):
        yield from refusals.unknown_filters(want, world)
    yield from plan_tuning.changed(found, world)
    if identities:
        yield from refusals.conflicts(at.key.name, want, world)
    if identities or starts:
        yield from plan_disks.of_the_host(want, world)
    yield from plan_devices.changed(found, at.domain, world, starts=starts)
    if found.define or found.boot:
        yield from plan_power.beyond(want, world)
    if plan_capacity.GROWING & found.live.keys():
        yield from plan_power.crowded(at.doc, world)


def _steps(at: _Look, *, stuck: bool, restart: bool) -> Iterator[Step]:
    doc, found, want, world = at.doc, at.found, at.want, at.world
    stops, starts = at.act == Power.STOP, (at.act == Power.START or restart) and not stuck
    yield from seed.making(doc, want, world.live, found.define)
    yield from _defining(at)
    if passwords.PATH in found.define:
        yield passwords.keeping(doc, at.mark)
    yield from live.steps(at.key, found, at.domain, world)
    yield from taps.plugging(at.key, at.loose)
    if at.reboot is not None and not restart and at.act == Power.LEAVE:
        yield plan_power.reboot(at.key, at.reboot)
    if not starts and not stops:
        yield from (port.step for port in at.ports if port.step)
        yield from ports(doc, at.had, world, live.plugged(found))
    act = Power.LEAVE if stuck and _wakes(at) else at.act
    yield from plan_power.steps(doc, want, act, world, restart=restart)
    if starts and not stops:
        yield from ports(doc, at.had, world)
    yield from seed.sweeping(at.key, want, world.live, lets_go=restart or stops or seed.replaced(found.live))


def _defining(at: _Look) -> Iterator[Step]:
    """What is done to taps stands in no XML: the mark tells later which spec it was done for."""
    found, name = at.found, at.key.name
    paths = frozenset(found.define) - {"spec.autostart", passwords.PATH}
    if paths or at.had is None or at.had.flags != at.mark.flags or (at.ports and at.had != at.mark):
        # A domain of others has no note yet of how many ports its document wants: devices that come would take them.
        noted = {"spec.hotplugPorts"} & {pointer.replace("/", ".")[1:] for pointer in given_paths(at.doc.given)}
        redefine = actions.Redefine(
            name=name,
            spec=found.want,
            sources=sources.wanted(found.want, at.world),
            chosen=dict(choice.chosen(name, at.world)),
            mark=at.mark,
            paths=paths | noted,
            module=found.module,
        )
        adopt = at.had is None
        said = ", ".join(sorted(set(map(seed.spoken, paths)))) or "its mark"
        text = f"take over VM {name}" if adopt else f"define VM {name}: {said}"
        yield Step(key=at.key, op="vm.adopt" if adopt else "vm.redefine", text=text, action=redefine)
    if "spec.autostart" in found.define:
        yield plan_power.autostart(at.key, found.want.autostart)


def ports(doc: Document, mark: Mark | None, world: World, names: frozenset[str] | None = None) -> Iterable[Step]:
    """What the taps need that come into being in this plan (None: all of them): they have the kernel's defaults."""
    wanted = taps.settings(doc, mark, world.documents)
    return [taps.step(doc.key, s) for s in wanted if s.unusual and (names is None or s.interface in names)]


def _fields(at: _Look, *, pending: bool) -> Iterator[FieldChange]:
    for field in at.found.fields:
        yield field if pending else msgspec.structs.replace(field, pending=False)
    if at.act != Power.LEAVE and at.domain.state in (power.OFF | power.ON):
        wanted = "running" if at.act == Power.START else "shutoff"
        if wanted != at.domain.state:
            yield FieldChange(path="spec.runStrategy", have=at.domain.state, want=wanted, effect=Effect.LIVE)
    for port in at.ports:
        yield from port.fields


def _cause(at: _Look) -> Cause:
    """The digest is that of what was defined last: what differs from the same spec was changed by somebody else."""
    if power.went_down(at.domain, at.act):
        return Cause.CRASH
    fresh = seed.other_data(at.found.define, at.key.name, at.world.live) | {passwords.PATH}
    changed = bool((at.found.define.keys() | at.found.live.keys()) - fresh or at.loose or at.ports)
    off = at.act == Power.START and at.want.run_strategy == RunStrategy.ALWAYS
    same = at.had is not None and at.had.digest == at.declared.digest
    return Cause.DRIFT if same and (changed or off) else Cause.SPEC


def _notes(at: _Look, fields: tuple[FieldChange, ...]) -> Iterator[str]:
    if waiting := [field.path for field in fields if field.pending]:
        told = update_policy.told(at.doc, at.had, at.want, at.world.live.at)
        yield f"takes effect at the next start: {', '.join(waiting)} ({told})"
    yield from _unknown(at)
    if any(path.startswith(("spec.clock", "spec.features")) for path in (*at.found.define, *at.found.boot)):
        yield from guest_os.told(at.doc.spec)
    if guest_drivers.DRIVE_PATH in {*at.found.define, *at.found.boot}:
        yield from guest_drivers.told(at.doc, at.world.documents)


def _unknown(at: _Look) -> tuple[str, ...]:
    """What is secret, and could not be compared."""
    return (*seed.notes(at.doc, at.world.live), *passwords.notes(at.doc, at.world.live))
