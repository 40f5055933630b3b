"""Changes of the running instance: one step for every way that libvirt has, after the definition was changed.

The definition comes first, and a device is plugged in as it stands there: with the address that libvirt gave it, so
that the guest finds it at the same place after its next start. LIVE and CONFIG are separate calls on purpose: libvirt's
binding cannot say both at once for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import devices, differ, live_actions, live_tuning, observe, resolve
from cell_reconciler.kinds.virtual_machine.devices import NamedDevice
from cell_reconciler.model.change import Risk, Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain

_ITEM = re.compile(r"spec\.(disks|interfaces|cdroms)\[([^]]+)\]")


def steps(key: Key, found: differ.Differences, domain: Domain, world: World) -> Iterator[Step]:
    """What makes ``found.live`` so, in the order: what comes, what changes, what goes."""
    if not found.live:
        return
    handles = _handles(found, domain)
    yield from _coming(key, found, dict(_whole(found, coming=True)), world)
    if "spec.description" in found.live:
        text = None if found.want.description is None else str(found.want.description)
        action = live_actions.Describe(key.name, text)
        yield Step(key=key, op="vm.describe", text=f"describe running VM {key.name}", action=action)
    if "spec.cpu.sockets" in found.live:
        yield _vcpus(key, found)
    yield from live_tuning.steps(key, found, world.live.cpus)
    yield from _interfaces(key, found, handles)
    yield from _disks(key, found, handles)
    for path, name in _whole(found, coming=False):
        yield _unplug(key, path, name, handles)
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
    have: tuple[NamedDevice, ...] = (*raw.spec.disks, *raw.spec.cdroms, *raw.spec.interfaces)
    return {device.name: device.name for device in have} | named


def _coming(key: Key, found: differ.Differences, coming: dict[str, str], world: World) -> Iterator[Step]:
    volumes = {disk.name: disk.volume for disk in found.want.disks}
    for path, name in coming.items():
        place = resolve.place(volumes[name], world) if path.startswith("spec.disks[") else None
        kind = "disk" if path.startswith("spec.disks[") else "interface"
        action = live_actions.Plug(key.name, name, () if place is None else (place,))
        yield Step(key=key, op="vm.plug", text=f"plug {kind} {name} into running VM {key.name}", action=action)


def _unplug(key: Key, path: str, name: str, handles: dict[str, str]) -> Step:
    kind = "disk" if path.startswith("spec.disks[") else "interface"
    return Step(
        key=key,
        op="vm.unplug",
        text=f"unplug {kind} {name} from running VM {key.name}",
        action=live_actions.Unplug(key.name, name, handles[name]),
        risk=Risk.CUTS_VM,
        why=f"its guest loses the {kind}",
    )


def _vcpus(key: Key, found: differ.Differences) -> Step:
    cpu = found.want.cpu
    count = cpu.sockets * cpu.cores * cpu.threads
    text = f"plug vCPUs into running VM {key.name}: {count} (the guest brings them online)"
    return Step(key=key, op="vm.vcpus", text=text, action=live_actions.Vcpus(key.name, count))


def _interfaces(key: Key, found: differ.Differences, handles: dict[str, str]) -> Iterator[Step]:
    for nic in found.want.interfaces:
        fields = _fields(found, f"spec.interfaces[{nic.name}]", ("bridge", "vlan", "link"))
        if not fields:
            continue
        bridge = devices.access_bridge(nic.bridge, nic.vlan) if fields & {"bridge", "vlan"} else None
        words = [f"move it to {bridge}"] if bridge else []
        words += [f"link {nic.link.value}"] if "link" in fields else []
        cuts = "link" in fields and nic.link == "down"
        yield Step(
            key=key,
            op="vm.move-interface" if bridge else "vm.link",
            text=f"interface {nic.name} of running VM {key.name}: {', '.join(words)}",
            action=live_actions.ChangeInterface(
                key.name, handles[nic.name], bridge, nic.link.value if "link" in fields else None
            ),
            risk=Risk.CUTS_VM if cuts else Risk.BLIP if bridge else Risk.NONE,
            why="its guest sees the cable out" if cuts else "its guest changes the network" if bridge else "",
        )


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
