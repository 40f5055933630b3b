"""Why a VM is not made or changed: what has its identities already, what is missing, and states that forbid it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import differ, observe, plan_disks, power
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.live import Domain


def left_alone(domain: Domain) -> tuple[Refusal, ...]:
    """It is in a state that an operator, libvirt or its guest has to end first."""
    return _waiting(power.unsettled(domain))


def busy(domain: Domain) -> tuple[Refusal, ...]:
    """It may go on as it is, and must not be changed meanwhile."""
    return _waiting(power.busy(domain))


def _waiting(state: power.Why | None) -> tuple[Refusal, ...]:
    if state is None:
        return ()
    reason, message, advice = state
    return (Refusal(reason=reason, message=message, advice=advice, waiting=True),)


def immutable(found: differ.Differences) -> tuple[Refusal, ...]:
    """Fields that differ and cannot be changed."""
    advice = "set it back, or undefine the VM by hand (virsh undefine --keep-nvram) and let it be made anew"
    return tuple(
        Refusal(reason="Immutable", message=f"{c.path} cannot change from {c.have} to {c.want}", advice=advice)
        for c in found.immutable
    )


def machine(found: differ.Differences) -> tuple[Refusal, ...]:
    """Another board than it has, without permission."""
    change = found.board
    if change is None:
        return ()
    message = f"spec.machine.type is {change.have} and would be {change.want}: the guest may not boot on another board"
    if rest := [other.path for other in found.held if other is not change]:
        message += f"; so {', '.join(rest)} stay{'s as it is' if len(rest) == 1 else ' as they are'}"
    advice = "set it back; or allow it: updatePolicy.machine: Change, with a copy of its disks and time to test"
    return (Refusal(reason="OtherMachine", message=message, advice=advice),)


def filters(found: differ.Differences) -> bool:
    """Does an interface get another filter, or come with one?"""
    return any(path.startswith("spec.interfaces[") and path.endswith((".filter", "]")) for path in found.define)


def unknown_filters(want: VirtualMachineSpec, world: World) -> Iterable[Refusal]:
    """libvirt defines a VM with a filter that it does not have, and then cannot start it."""
    there = world.live.nwfilters
    for nic in want.interfaces:
        chosen: Any = nic.filter
        if chosen is not None and there is not None and chosen.name not in there:
            message = f"interface {nic.name}: libvirt has no network filter {chosen.name} on this host"
            advice = "define it: virsh nwfilter-define FILE; libvirt's own come with libvirt-daemon-config-nwfilter"
            yield Refusal(reason="UnknownFilter", message=message, advice=advice)


def conflicts(name: str, want: VirtualMachineSpec, world: World) -> Iterable[Refusal]:
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


def identities(found: differ.Differences) -> bool:
    """Did something change that must be unique on the host?"""
    return any(word in path for path in found.define for word in (".mac", "disks[", "interfaces["))
