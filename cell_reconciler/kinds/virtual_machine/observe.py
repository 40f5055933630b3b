"""Domain XML → VirtualMachineSpec, in canonical units and in the words of the document it is compared with.

Two steps. ``parsed`` depends on the XML alone and is remembered by a digest of it: a thousand VMs that did not
change cost a thousand digests. ``in_words_of`` is cheap and depends on the document: one bridge name may be
``br-VM`` with VLAN 101, ``pc-q35-7.2`` is what ``q35`` asked for, and a disk's place has a volume's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from cell_reconciler.kinds.virtual_machine import devices, host_devices, metadata, resolve, tree, xml
from cell_reconciler.kinds.virtual_machine import running as instance
from cell_reconciler.kinds.virtual_machine import sources as disk_sources
from cell_reconciler.kinds.virtual_machine.codec import source as places
from cell_reconciler.kinds.virtual_machine.codec.board import machine_family
from cell_reconciler.kinds.virtual_machine.codec.cpu import Asked
from cell_reconciler.kinds.virtual_machine.codec.memory import Memory
from cell_reconciler.kinds.virtual_machine.spec import (
    Cpu,
    CpuMode,
    Disk,
    HostDevice,
    Interface,
    Machine,
    VirtualMachineSpec,
)
from cell_reconciler.kinds.virtual_machine.spec.cpu import CpuFeatures
from cell_reconciler.kinds.virtual_machine.spec.tuning import Numa
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, HostCpus, Live
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.node import Load
from cell_reconciler.model.storage import DiskSource, PoolTarget

KIND = "VirtualMachine"
_REMEMBERED = 20_000  # XML documents; a host has two for each running VM
_RECENT = 4_000  # of them by their text as well


class Parsed(NamedTuple):
    """What one XML says. Names of devices without our alias are their handles."""

    spec: VirtualMachineSpec
    sources: dict[str, DiskSource]  # by name of the disk
    aliased: frozenset[str]  # names of the devices that carry our alias
    handles: dict[str, str]  # of those: target or MAC → name
    note: metadata.Note
    load: Load  # what an instance of it takes of the host


_memory: dict[bytes, Parsed] = {}
_recent: dict[str, Parsed] = {}  # one pass asks for the same text several times


def parsed(text: str) -> Parsed:
    """The spec of an XML text, remembered."""
    found = _recent.get(text)
    if found is None:
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        found = _memory.get(key)
        if found is None:
            found = parse(xml.parse(text))
            if len(_memory) >= _REMEMBERED:
                _memory.clear()
            _memory[key] = found
        if len(_recent) >= _RECENT:
            _recent.clear()
        _recent[text] = found
    return found


def parse(root: Any) -> Parsed:
    """The spec of a tree."""
    spec = tree.read(VirtualMachineSpec, root, **dict.fromkeys(resolve.policies(), UNSET))
    sources, handles = {}, {}
    for codec in devices.LISTS:
        for name, element in codec.items(root):
            if devices.alias(element) is not None:
                handles[codec.handle(element)] = name
            if isinstance(codec, devices.Disks):
                sources[name] = places.read(element)
    return Parsed(spec, sources, frozenset(handles.values()), handles, metadata.read(root), _load(root))


def _load(root: Any) -> Load:
    """vCPUs that are there (not those that may be plugged), and memory."""
    vcpu = root.find("vcpu")
    count = 1 if vcpu is None else int(vcpu.get("current") or vcpu.text or 1)
    return Load(count, int(Memory().read(root)))


def mark_of(domain: Domain) -> Mark | None:
    """Our mark on a domain. One that names another owner is a copy (a clone made by hand): not ours."""
    text = domain.inactive or domain.active
    mark = parsed(text).note.mark if text else None
    return mark if mark and mark.owner == Key(KIND, domain.name) else None


class Known(NamedTuple):
    """What turns raw facts into a document's words."""

    want: VirtualMachineSpec | None  # effective; None: no document
    sources: Mapping[str, DiskSource] = {}  # of the disks that the document names
    pools: Mapping[str, PoolTarget] = {}
    chosen: Mapping[str, str] = {}  # by name of the device: the PCI function that it gets, where it does not say itself
    cpus: HostCpus = HostCpus()
    handles: Mapping[str, str] = {}  # of the definition, for an instance that was started before it had our aliases


def names_of(raw: Parsed, known: Known) -> dict[str, str]:
    """Handles of devices without our alias → the names that the document has for them.

    A device is recognised by what the definition calls it, a disk then by its source or its target, an interface by
    its MAC or its bridge.
    """
    want, have = known.want, raw.spec
    have_all = (have.disks, have.cdroms, have.interfaces, have.host_devices)
    if want is None or len(raw.aliased) == sum(map(len, have_all)):
        return {}
    names: dict[str, str] = {}
    lists: tuple[tuple[Any, Any], ...] = (
        (want.disks, have.disks),
        (want.cdroms, have.cdroms),
        (want.interfaces, have.interfaces),
        (want.host_devices, have.host_devices),
    )
    for wanted, found in lists:
        taken = set(raw.aliased)
        for same_one in (_same_handle, _same_source, _same_function, _same_mac, _same_name, _same_bridge):
            for device in found:
                if device.name in raw.aliased or device.name in names:
                    continue
                match = next((w.name for w in wanted if w.name not in taken and same_one(device, w, raw, known)), None)
                if match is not None:
                    names[device.name] = match
                    taken.add(match)
    return names


def _same_handle(device: Any, want: Any, raw: Parsed, known: Known) -> bool:  # noqa: ARG001 - one signature for all
    return bool(known.handles.get(device.name) == want.name)


def _same_source(device: Any, want: Any, raw: Parsed, known: Known) -> bool:
    return isinstance(want, Disk) and bool(known.sources.get(want.name) == raw.sources[device.name])


def _same_function(device: Any, want: Any, raw: Parsed, known: Known) -> bool:  # noqa: ARG001 - one signature for all
    return isinstance(want, HostDevice) and bool(
        host_devices.in_words_of(device, want, known.chosen) == msgspec.structs.replace(want, name=device.name)
    )


def _same_name(device: Any, want: Any, raw: Parsed, known: Known) -> bool:  # noqa: ARG001 - one signature for all
    return bool(device.name == want.name)  # a disk called by its target: vda


def _same_mac(device: Any, want: Any, raw: Parsed, known: Known) -> bool:  # noqa: ARG001 - one signature for all
    return isinstance(want, Interface) and bool(device.mac == want.mac)


def _same_bridge(device: Any, want: Any, raw: Parsed, known: Known) -> bool:  # noqa: ARG001 - one signature for all
    return isinstance(want, Interface) and bool(device.bridge == devices.access_bridge(want.bridge, want.vlan))


def in_words_of(raw: Parsed, known: Known) -> VirtualMachineSpec:
    """The spec as the document would put it; what differs really, still differs."""
    spec, want, names = raw.spec, known.want, names_of(raw, known)
    wanted_disks = {d.name: d for d in want.disks} if want else {}
    wanted_cdroms = {c.name: c for c in want.cdroms} if want else {}
    wanted_nics = {n.name: n for n in want.interfaces} if want else {}
    found_disks = (_disk(d, names.get(d.name, d.name), raw, known, wanted_disks) for d in spec.disks)
    found_cdroms = (msgspec.structs.replace(c, name=names.get(c.name, c.name)) for c in spec.cdroms)
    found_nics = (_interface(n, names.get(n.name, n.name), wanted_nics, known.chosen) for n in spec.interfaces)
    disks, nics = _ordered(found_disks, wanted_disks), _ordered(found_nics, wanted_nics)
    cdroms = _ordered(found_cdroms, wanted_cdroms)
    handed = _ordered(_host_devices(spec, names, known), {d.name: d for d in want.host_devices} if want else {})
    machine = spec.machine
    if want and want.machine.type in ("q35", "pc") and machine_family(machine.type) == want.machine.type:
        machine = Machine(type=want.machine.type)
    spec = msgspec.structs.replace(
        spec,
        disks=disks,
        cdroms=cdroms,
        interfaces=nics,
        host_devices=handed,
        machine=machine,
        cpu=_cpu(spec, want),
    )
    return spec if want is None else _elsewhere(spec, want)


def _cpu(spec: VirtualMachineSpec, want: VirtualMachineSpec | None) -> Cpu:
    """Without the one cell that ``maxGuest`` takes, unless the document declares cells."""
    cells = spec.cpu.numa.cells
    implied = len(cells) == 1 and spec.memory.max_guest is not None and cells[0].host_nodes is None
    if not implied or (want is not None and want.cpu.numa.cells):
        return spec.cpu
    return msgspec.structs.replace(spec.cpu, numa=Numa())


def _elsewhere(spec: VirtualMachineSpec, want: VirtualMachineSpec) -> VirtualMachineSpec:
    """With what no XML shows taken for what the document says: ``seed`` and ``passwords`` compare it."""
    if want.cloud_init:
        spec = msgspec.structs.replace(spec, cloud_init=want.cloud_init)
    if want.graphics.password:
        graphics = msgspec.structs.replace(spec.graphics, password=want.graphics.password)
        spec = msgspec.structs.replace(spec, graphics=graphics)
    return spec


def _ordered(items: Iterator[Any], wanted: Mapping[str, Any]) -> tuple[Any, ...]:
    """In the order of the document (libvirt sorts disks by target), what it does not name last."""
    place = {name: index for index, name in enumerate(wanted)}
    return tuple(sorted(items, key=lambda item: place.get(item.name, len(place))))


def _disk(disk: Disk, name: str, raw: Parsed, known: Known, wanted: Mapping[str, Disk]) -> Disk:
    """With the place in the word that the document has for it; of its other word it says nothing."""
    source, want = raw.sources[disk.name], wanted.get(name)
    if want and known.sources.get(name) == source:
        return msgspec.structs.replace(disk, name=name, volume=want.volume, source=want.source)
    volume: Any = disk_sources.volume_of(source, known.pools)
    if want and want.source:
        return msgspec.structs.replace(disk, name=name, volume=None if disk.source else disk.volume)
    if not want:
        said = disk.source if volume is None else None
        return msgspec.structs.replace(disk, name=name, volume=volume or (None if said else disk.volume), source=said)
    volume = volume or disk.volume or ""
    if volume.split("/")[-1] == (want.volume or "").split("/")[-1]:
        volume = connection(source)  # the right image by another way: other monitors, user or secret
    return msgspec.structs.replace(disk, name=name, volume=volume, source=None)


def connection(source: DiskSource) -> str:
    """A source with everything that it is reached by."""
    parts = (source.text, ",".join(source.hosts), source.user, source.secret_uuid, source.secret_usage)
    return " ".join(part for part in parts if part)


def _host_devices(spec: VirtualMachineSpec, names: Mapping[str, str], known: Known) -> Iterator[HostDevice]:
    wanted = {device.name: device for device in known.want.host_devices} if known.want else {}
    for device in spec.host_devices:
        named = msgspec.structs.replace(device, name=names.get(device.name, device.name))
        yield host_devices.in_words_of(named, wanted.get(named.name), known.chosen)


def _interface(nic: Interface, name: str, wanted: Mapping[str, Interface], chosen: Mapping[str, str]) -> Interface:
    want = wanted.get(name)
    if nic.bridge is None:
        return host_devices.function_in_words_of(msgspec.structs.replace(nic, name=name), want, chosen)
    if want is not None and nic.isolated != want.isolated:  # a setting of the tap, which the XML does not have
        nic = msgspec.structs.replace(nic, isolated=want.isolated)
    base, dot, vlan = str(nic.bridge).rpartition(".")
    if dot and vlan.isdigit() and (want is None or want.vlan is not None):
        return msgspec.structs.replace(nic, name=name, bridge=base, vlan=int(vlan))
    return nic if name == nic.name else msgspec.structs.replace(nic, name=name)


def configured(domain: Domain, known: Known) -> VirtualMachineSpec | None:
    """The persistent definition; None for a transient domain."""
    if domain.inactive is None:
        return None
    spec = in_words_of(parsed(domain.inactive), known)
    return msgspec.structs.replace(spec, autostart=domain.autostart)


def running(domain: Domain, known: Known) -> VirtualMachineSpec | None:
    """The running instance, as it was booted and changed since; None when it is not running."""
    if domain.active is None:
        return None
    raw = parsed(domain.active)
    spec = in_words_of(raw, with_handles(domain, known))
    spec = msgspec.structs.replace(spec, autostart=domain.autostart, cpu=_booted_cpu(spec.cpu, raw, domain))
    return instance.in_words_of(spec, known.want, raw.note, domain, known.cpus)


def with_handles(domain: Domain, known: Known) -> Known:
    """What the definition calls the devices, for reading the running instance."""
    return known if domain.inactive is None else known._replace(handles=parsed(domain.inactive).handles)


def _booted_cpu(cpu: Cpu, raw: Parsed, domain: Domain) -> Cpu:
    """The CPU that the instance was started with: libvirt shows it expanded, with the features of the model."""
    asked = Asked.parse(raw.note.cpu)
    if asked is not None:
        mode, features = asked.mode, CpuFeatures(require=asked.require, disable=asked.disable)
    elif domain.inactive is not None:  # started before we took it over
        defined = parsed(domain.inactive).spec.cpu
        mode, features = defined.mode, defined.features
    else:
        return cpu
    if mode == CpuMode.HOST_MODEL and cpu.mode == CpuMode.CUSTOM:
        return msgspec.structs.replace(cpu, mode=CpuMode.HOST_MODEL, model=None, vendor=None, features=features)
    return msgspec.structs.replace(cpu, features=features)


def used(domain: Domain, known: Known) -> frozenset[Key]:
    """Bridges and volumes that the domain needs, as defined or as running."""
    keys: set[Key] = set()
    for text in (domain.inactive, domain.active):
        if text is None:
            continue
        raw = parsed(text)
        keys.update(Key("Bridge", str(nic.bridge)) for nic in raw.spec.interfaces if on_bridge(nic))
        volumes = (disk_sources.volume_of(source, known.pools) for source in raw.sources.values())
        keys.update(Key("Volume", volume.split("/")[-1]) for volume in volumes if volume)
    return frozenset(keys)


def on_bridge(nic: Interface) -> bool:
    """Is it on a Linux bridge? Its name is unknown to us, and starts with a type, for what is on something else."""
    return isinstance(nic.bridge, str) and ":" not in nic.bridge


def others(live: Live, name: str) -> Iterator[tuple[str, Parsed]]:
    """What every other domain of the host is defined as."""
    for domain in live.domains.values():
        text = domain.inactive or domain.active
        if domain.name != name and text:
            yield domain.name, parsed(text)


def media(domain: Domain) -> set[str]:
    """The files in the CD-ROM drives of a domain, as defined or as running."""
    texts = (text for text in (domain.inactive, domain.active) if text)
    return {str(drive.media) for text in texts for drive in parsed(text).spec.cdroms if drive.media}


def others_media(domains: Mapping[str, Domain], name: str) -> set[str]:
    """The files in the CD-ROM drives of every other domain of the host."""
    return {path for domain in domains.values() if domain.name != name for path in media(domain)}
