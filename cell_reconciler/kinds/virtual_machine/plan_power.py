"""Steps that start, stop and restart a VM, and what keeps one from being started on this host."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import (
    actions,
    admission,
    baseline,
    capacity,
    fitness,
    live_actions,
    plan_capacity,
    power,
    sources,
    start_order,
)
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal, Risk, Step
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key


def steps(doc: Document, want: VirtualMachineSpec, act: power.Power, world: World, *, restart: bool) -> Iterable[Step]:
    """What ``act`` takes; ``restart``: for what is pending."""
    key = doc.key
    action = actions.Stop(key.name, float(want.shutdown_timeout), want.force_stop)
    if act == power.Power.STOP:
        yield stop(key, action, "runStrategy is Halted")
    elif restart:
        action = msgspec.structs.replace(action, admission=admission.of(world))
        why = f"updatePolicy.restart is {want.update_policy.restart.value}"
        yield stop(key, action, why, restart=True)
        yield start(doc, want, world, restart=True)
    elif act == power.Power.START:
        yield start(doc, want, world)


def start(doc: Document, want: VirtualMachineSpec, world: World, *, restart: bool = False) -> Step:
    """In its order, and if there is room."""
    key = doc.key
    action = actions.Start(key.name, sources.uses(want, world), admission.of(world))
    return Step(
        key=key,
        op="vm.start",
        text=f"start VM {key.name}",
        action=action,
        restart=restart,
        gives=(start_order.token(doc),),
        after=start_order.before(doc, world),
    )


def stop(key: Key, action: actions.Stop, why: str, *, restart: bool = False) -> Step:
    """With the timeout of the action, and what comes after it."""
    force = ", then power it off" if action.force else ""
    text = f"shut down VM {key.name} (up to {action.timeout:g} s{force})"
    return Step(key=key, op="vm.stop", text=text, action=action, risk=Risk.CUTS_VM, why=why, restart=restart)


def reboot(key: Key, action: str) -> Step:
    """See ``update``."""
    what = "end running VM {}, to start it as it is defined," if action == "destroy" else "reset running VM {}"
    text = f"{what.format(key.name)} when its guest reboots"
    return Step(key=key, op="vm.on-reboot", text=text, action=live_actions.OnReboot(key.name, action))


def autostart(key: Key, on: bool) -> Step:
    """By libvirt, with the host."""
    text = f"{'start' if on else 'do not start'} VM {key.name} with the host"
    return Step(key=key, op="vm.autostart", text=text, action=actions.Autostart(key.name, on))


# -- refusals --------------------------------------------------------------------------------------------------


def beyond(want: VirtualMachineSpec, world: World) -> tuple[Refusal, ...]:
    """What this host gives no VM at all, or cannot know."""
    found = capacity.too_many_vcpus(want, world) or baseline.missing(want)
    return (found,) if found else ()


def crowded(doc: Document, world: World) -> tuple[Refusal, ...]:
    """Why there is no room for it, or for what it gets more."""
    found = plan_capacity.starting(doc, world)
    return (found,) if found else ()


def stuck(doc: Document, want: VirtualMachineSpec, world: World) -> tuple[Refusal, ...]:
    """Why it cannot be started now. It may be defined, and what runs goes on."""
    found = fitness.unfit(want, world)
    return (*((found,) if found else ()), *crowded(doc, world))
