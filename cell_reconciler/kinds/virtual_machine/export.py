"""A domain as a document: everything that the model knows of it; what it does not know is listed, and stays in the XML.

A document that takes over a domain owns the fields that it names, so that leaving something out never changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.export import Exported, unusual
from cell_reconciler.kinds.virtual_machine import export_disks, guest_os, host_devices, observe, xml
from cell_reconciler.kinds.virtual_machine.codec import ports
from cell_reconciler.kinds.virtual_machine.codec.clock import Offset
from cell_reconciler.kinds.virtual_machine.codec.consoles import AGENT
from cell_reconciler.kinds.virtual_machine.export_disks import said
from cell_reconciler.kinds.virtual_machine.spec import Interface, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.seed import DRIVE
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Domain, Live

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

# What the model knows, what libvirt adds to every domain, and what only describes: none of it is lost.
_KNOWN: Mapping[str, str] = {
    ".": "name uuid title description metadata memory currentMemory maxMemory vcpu vcpus os features cpu clock"
    " on_poweroff on_reboot on_crash pm devices memoryBacking iothreads iothreadids resource cputune numatune",
    "features": "acpi apic hyperv",
    "features/hyperv": "relaxed vapic spinlocks vpindex runtime synic stimer reset vendor_id frequencies"
    " reenlightenment tlbflush ipi evmcs avic",
    "cpu": "model vendor topology feature numa",
    "cputune": "shares global_period global_quota vcpupin emulatorpin iothreadpin",
    "numatune": "memnode",
    "devices": "emulator disk controller interface serial console channel input graphics video memballoon rng watchdog"
    " tpm audio hostdev vsock memory",
}
_TIMERS = ("kvmclock", "hypervclock", "hpet", "rtc", "pit")
_LIBOSINFO = "http://libosinfo.org/xmlns/libvirt/domain/1.0"


class VirtualMachineExporter:
    """See ``kinds.export.Exporter``."""

    def left_out(self, name: str, live: Live) -> str:
        return "" if live.domains[name].inactive is not None else "it is transient: it has no definition"

    def export(self, name: str, world: World) -> Exported | None:
        domain = world.live.domains.get(name)
        if domain is None or domain.inactive is None:
            return None
        raw = observe.parsed(domain.inactive)
        spec = msgspec.structs.replace(
            raw.spec, autostart=domain.autostart, disks=(), interfaces=(), cdroms=(), host_devices=()
        )
        if "\x7f" in (spec.description or ""):  # no YAML of ours may hold it
            spec = msgspec.structs.replace(spec, description=None)
        found = unusual(_guest(said(spec), xml.parse(domain.inactive)))
        names = _Names(raw.aliased)
        disks, cdroms = export_disks.disks(raw, world.pools), export_disks.drives(raw)  # by alias, or by target: sda
        nics = [{**unusual(said(nic)), "name": names.of(nic.name)} for nic in raw.spec.interfaces if _declarable(nic)]
        if raw.spec.host_devices:
            found["hostDevices"] = [unusual(said(device)) for device in host_devices.named(raw.spec, raw.aliased)]
        found |= {name: items for name, items in (("disks", disks), ("cdroms", cdroms), ("interfaces", nics)) if items}
        return Exported(spec=found, lost=tuple(lost(domain, world)))


class _Names:
    """Names for interfaces that have none: ``net0``, ``net1`` …; those with our alias keep theirs."""

    def __init__(self, taken: frozenset[str]) -> None:
        self.taken, self.ours = set(taken), taken

    def of(self, name: str) -> str:
        if name in self.ours:
            return name
        found = next(f"net{i}" for i in range(len(self.taken) + 1) if f"net{i}" not in self.taken)
        self.taken.add(found)
        return found


def _declarable(nic: Interface) -> bool:
    return observe.on_bridge(nic) or nic.bridge is None  # None: a virtual function of a card


def _guest(spec: VirtualMachineSpec, root: Element) -> VirtualMachineSpec:
    """With the operating system that virt-install or a console noted, and without what a document leaves out."""
    noted = root.find(f"metadata/{{{_LIBOSINFO}}}libosinfo/{{{_LIBOSINFO}}}os")
    guest = None if noted is None else guest_os.table().get(noted.get("id") or "")
    spec = msgspec.structs.replace(spec, guest_os=UNSET if guest is None else guest.id)
    if _foreign_offset(root):
        spec = msgspec.structs.replace(spec, clock=msgspec.structs.replace(spec.clock, offset=UNSET))
    if spec.hotplug_ports == ports.DEFAULT:
        spec = msgspec.structs.replace(spec, hotplug_ports=UNSET)
    return guest_os.without(spec)


def _foreign_offset(root: Element) -> str:
    """An offset of the clock that no field can say; empty when there is none."""
    offset = str(Offset().read(root))
    return "" if offset in ("utc", "localtime") or offset in guest_os.zones() else offset


def lost(domain: Domain, world: World) -> Iterator[str]:
    """What the document does not say, a line each."""
    root = xml.parse(domain.inactive or "")
    raw = observe.parsed(domain.inactive or "")
    if "\x7f" in (raw.spec.description or ""):
        yield "the description is not declared: it holds the character U+007F"
    yield from export_disks.lost(root, raw, world.pools)
    for nic in raw.spec.interfaces:
        if not _declarable(nic):
            yield f"interface {nic.name} ({nic.bridge}) cannot be declared: it is on no Linux bridge"
    for drive in raw.spec.cdroms:
        if drive.name == DRIVE:
            yield f"drive {DRIVE} stays with the data that it has; to change that, declare cloudInit in its stead"
    yield from _unknown(root)


def _unknown(root: Element) -> Iterator[str]:
    """Elements that no field is about, once each, in their order."""
    for path, known in _KNOWN.items():
        parent = root if path == "." else root.find(path)
        inside = "" if path == "." else f" in <{path}>"
        tags = [child.tag for child in (() if parent is None else parent) if isinstance(child.tag, str)]
        for tag in dict.fromkeys(tag.rpartition("}")[2] for tag in tags):
            if tag not in known.split():
                yield f"<{tag}>{inside} cannot be declared; it stays as it is"
    others = [(f"graphics of type {e.get('type')}", e.get("type") != "vnc") for e in root.findall("devices/graphics")]
    others += [(f"memory of model {e.get('model')}", e.get("model") != "dimm") for e in root.findall("devices/memory")]
    kinds = [e.get("device", "disk") for e in root.findall("devices/disk")]
    modes = [(e.get("mode"), e.get("type") or "") for e in root.findall("devices/hostdev")]
    others += [(f"a host device of type {t}", m != "subsystem" or t not in ("pci", "mdev", "usb")) for m, t in modes]
    others += [(f"a {kind}", kind not in ("disk", "cdrom", "lun")) for kind in kinds]
    ends = [target.get("name") or "" for target in root.findall("devices/channel/target")]
    others += [(f"the channel {name}", name != AGENT) for name in ends]
    others.append(("Hyper-V in mode passthrough", root.find("features/hyperv[@mode='passthrough']") is not None))
    others.append((f"a clock with offset {_foreign_offset(root)}", bool(_foreign_offset(root))))
    others += [(f"the timer {e.get('name')}", e.get("name") not in _TIMERS) for e in root.findall("clock/timer")]
    for what, foreign in others:
        if foreign:
            yield f"{what} cannot be declared; it stays as it is"
