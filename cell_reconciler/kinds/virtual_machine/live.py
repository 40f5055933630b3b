"""Changes of the running instance: one step for every way that libvirt has, after the definition was changed.

The definition comes first, and a device is plugged in as it stands there: with the address that libvirt gave it, so
that the guest finds it at the same place after its next start. LIVE and CONFIG are separate calls on purpose: libvirt's
binding cannot say both at once for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.secret import secret_file
from cell_reconciler.kinds.virtual_machine import (
    admission,
    devices,
    differ,
    live_actions,
    live_io_threads,
    live_single,
    live_tuning,
    observe,
    passwords,
    sources,
)
from cell_reconciler.kinds.virtual_machine.devices import NamedDevice
from cell_reconciler.kinds.virtual_machine.spec import Interface
from cell_reconciler.model.change import Risk, Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain

_ITEM = re.compile(r"spec\.(disks|interfaces|cdroms|hostDevices)\[([^]]+)\]")


def steps(key: Key, found: differ.Differences, domain: Domain, world: World) -> Iterator[Step]:
    """What makes ``found.live`` so, in the order: what comes, what changes, what goes."""
    if not found.live:
        return
    handles = _handles(found, domain)
    yield from live_io_threads.coming(key, found)
    yield from _coming(key, found, dict(_whole(found, coming=True)), world)
    if "spec.description" in found.live:
        text = None if found.want.description is None else str(found.want.description)
        action = live_actions.Describe(key.name, text)
        yield Step(key=key, op="vm.describe", text=f"describe running VM {key.name}", action=action)
    if "spec.cpu.sockets" in found.live:
        yield _vcpus(key, found, world)
    yield from live_tuning.steps(key, found, world)
    if passwords.PATH in found.live:
        yield passwords.changing(key, secret_file(found.want.graphics.password))  # type: ignore[arg-type] # it is set
    yield from _interfaces(key, found, handles)
    yield from _disks(key, found, handles)
    yield from live_single.steps(key, found)
    for path, name in _whole(found, coming=False):
        yield _unplug(key, path, name, handles)
    yield from live_io_threads.going(key, found)
    yield from live_tuning.scheduling(key, found, world.live.cpus)


def plugged(found: differ.Differences) -> frozenset[str]:
    """Names of the interfaces that are plugged in by these steps: their taps have the kernel's defaults then."""
    return frozenset(name for path, name in _whole(found, coming=True) if path.startswith("spec.interfaces["))


def _whole(found: differ.Differences, *, coming: bool) -> Iterator[tuple[str, str]]:
    """Paths and names of the devices that come or go."""
    for path, change in found.live.items():
        match = _ITEM.fullmatch(path)
        if match and (change.have is None if coming else change.want is None):
            yield path, match[2]


def _handles(found: differ.Differences, domain: Domain) -> dict[str, str]:
    """Name of a device → what it is known by in the running instance: target of a disk, MAC of an interface."""
    raw = observe.parsed(domain.active or "")
    names = observe.names_of(raw, observe.with_handles(domain, observe.Known(found.want)))
    named = {name: handle for handle, name in (*raw.handles.items(), *names.items())}
    spec = raw.spec
    have: tuple[NamedDevice, ...] = (*spec.disks, *spec.cdroms, *spec.interfaces, *spec.host_devices)
    return {device.name: device.name for device in have} | named


def _coming(key: Key, found: differ.Differences, coming: dict[str, str], world: World) -> Iterator[Step]:
    disks = {use.name: use for use in sources.uses(found.want, world)}
    for path, name in coming.items():
        use = disks.get(name) if path.startswith("spec.disks[") else None
        kind = _kind(path)
        action = live_actions.Plug(key.name, name, () if use is None else (use,))
        yield Step(key=key, op="vm.plug", text=f"plug {kind} {name} into running VM {key.name}", action=action)


def _kind(path: str) -> str:
    """What a path is about, for people."""
    return {"disks": "disk", "interfaces": "interface"}.get(path.removeprefix("spec.").partition("[")[0], "host device")


def _unplug(key: Key, path: str, name: str, handles: dict[str, str]) -> Step:
    kind = _kind(path)
    return Step(
        key=key,
        op="vm.unplug",
        text=f"unplug {kind} {name} from running VM {key.name}",
        action=live_actions.Unplug(key.name, name, handles[name]),
        risk=Risk.CUTS_VM,
        why=f"its guest loses the {kind}",
    )


def _vcpus(key: Key, found: differ.Differences, world: World) -> Step:
    cpu = found.want.cpu
    count = cpu.sockets * cpu.cores * cpu.threads
    text = f"plug vCPUs into running VM {key.name}: {count} (the guest brings them online)"
    return Step(key=key, op="vm.vcpus", text=text, action=live_actions.Vcpus(key.name, count, admission.of(world)))


def _interfaces(key: Key, found: differ.Differences, handles: dict[str, str]) -> Iterator[Step]:
    for nic in found.want.interfaces:
        fields = _fields(found, f"spec.interfaces[{nic.name}]", ("bridge", "vlan", "link", "bandwidth", "filter"))
        if not fields:
            continue
        moves, cuts = bool(fields & {"bridge", "vlan"}), "link" in fields and nic.link == "down"
        ops = {"vm.move-interface": moves, "vm.link": "link" in fields, "vm.bandwidth": "bandwidth" in fields}
        yield Step(
            key=key,
            op=next((op for op, is_one in ops.items() if is_one), "vm.filter"),
            text=f"interface {nic.name} of running VM {key.name}: {', '.join(_said(nic, fields))}",
            action=live_actions.ChangeInterface(
                key.name, handles[nic.name], nic, frozenset((fields | ({"bridge"} if moves else set())) - {"vlan"})
            ),
            risk=Risk.CUTS_VM if cuts else Risk.BLIP if moves else Risk.NONE,
            why="its guest sees the cable out" if cuts else "its guest changes the network" if moves else "",
        )


def _said(nic: Interface, fields: Collection[str]) -> Iterator[str]:
    """What changes, for people. The spec is effective: None is no limit, and no filter."""
    if "bridge" in fields or "vlan" in fields:
        yield f"move it to {devices.access_bridge(nic.bridge, nic.vlan)}"
    if "link" in fields:
        yield f"link {nic.link.value}"
    if "bandwidth" in fields:
        limits: Any = nic.bandwidth
        ways = ("inbound", "outbound")
        rates = [f"{way} {getattr(limits, way).average} kB/s" for way in ways if limits and getattr(limits, way)]
        yield f"limit {' and '.join(rates)}" if rates else "no limit"
    if "filter" in fields:
        chosen: Any = nic.filter
        yield f"filter {chosen.name}" if chosen else "no filter"


def _disks(key: Key, found: differ.Differences, handles: dict[str, str]) -> Iterator[Step]:
    for disk in found.want.disks:
        if _fields(found, f"spec.disks[{disk.name}]", ("iotune",)):
            limits = live_actions.limits(disk.iotune)
            said = ", ".join(f"{name}={value}" for name, value in limits.items() if value) or "none"
            yield Step(
                key=key,
                op="vm.iotune",
                text=f"limits of disk {disk.name} of running VM {key.name}: {said}",
                action=live_actions.Throttle(key.name, handles[disk.name], limits),
            )
    for cdrom in found.want.cdroms:
        if _fields(found, f"spec.cdroms[{cdrom.name}]", ("media",)):
            media: Any = cdrom.media
            text = f"put {media} into" if media else "empty"
            yield Step(
                key=key,
                op="vm.media",
                text=f"{text} drive {cdrom.name} of running VM {key.name}",
                action=live_actions.ChangeMedia(key.name, handles[cdrom.name], media),
            )


def _fields(found: differ.Differences, path: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if f"{path}.{name}" in found.live}
