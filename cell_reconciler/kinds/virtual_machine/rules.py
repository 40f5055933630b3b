"""What a VM's document may not say though it fits the schema: limits, and what must be unique over all documents."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from cell_reconciler.kinds.contract import Claim, Problem
from cell_reconciler.kinds.links import ports
from cell_reconciler.kinds.secret import check_secret
from cell_reconciler.kinds.virtual_machine import (
    baseline,
    devices,
    resolve,
    rules_devices,
    rules_guest,
    rules_host_devices,
    rules_running,
    rules_seed,
    rules_sources,
    rules_tuning,
    sources,
)
from cell_reconciler.kinds.virtual_machine.codec.board import machine_family
from cell_reconciler.kinds.virtual_machine.spec import CpuMode, GraphicsType, RunStrategy, VirtualMachineSpec
from cell_reconciler.kinds.world import pool_targets
from cell_reconciler.model import vlans
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.quantities import Mac
from cell_reconciler.model.storage import PoolTarget

KIND = "VirtualMachine"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}\Z")  # libvirt refuses '/', QEMU files want it short
_LONGEST_LINK = 15  # IFNAMSIZ less the NUL
_VCPUS = {"q35": 710, "pc": 255}  # of the newest QEMU in use; an older one says so when it is defined
_NO_ADDRESS = "00:00:00:00:00:00"
_MIB = 2**20


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """Every rule that the document breaks."""
    spec: VirtualMachineSpec = doc.spec
    if not _NAME.match(doc.key.name):
        yield Problem(
            pointer="/metadata/name",
            rule="vm-name",
            message=f"{doc.key.name!r} is no name for a VM: letters, digits, '.', '_', '-', at most 63",
        )
    yield from _board(spec)
    yield from baseline.problems(spec, documents)
    yield from _unique_names(spec)
    yield from _boot_order(spec)
    yield from rules_devices.check(spec, documents)
    yield from rules_tuning.check(spec)
    yield from rules_seed.check(spec)
    yield from rules_sources.check(spec, documents)
    yield from rules_host_devices.check(spec)
    yield from rules_guest.check(doc, documents)
    yield from _bridges(spec, documents)
    yield from _identities(doc, documents)
    yield from _console(spec)
    yield from rules_running.check(doc)


def _board(spec: VirtualMachineSpec) -> Iterator[Problem]:
    cpu, most = spec.cpu, _VCPUS[machine_family(spec.machine.type)]
    if cpu.mode == CpuMode.CUSTOM and cpu.model is UNSET:
        yield Problem(
            pointer="/spec/cpu/mode",
            rule="vm-cpu-model",
            message="mode custom needs cpu.model",
            advice="name a model: virsh cpu-models x86_64",
        )
    if cpu.mode != CpuMode.CUSTOM and cpu.model is not UNSET:
        yield Problem(
            pointer="/spec/cpu/model", rule="vm-cpu-model", message=f"cpu.model says nothing with mode {cpu.mode}"
        )
    if cpu.max_sockets is not UNSET and cpu.max_sockets < cpu.sockets:
        message = f"maxSockets is {cpu.max_sockets}, fewer than the {cpu.sockets} sockets"
        yield Problem(pointer="/spec/cpu/maxSockets", rule="vm-max-sockets", message=message)
    both = sorted(set(cpu.features.require) & set(cpu.features.disable))
    if both:
        message = f"{', '.join(both)}: required and disabled"
        yield Problem(pointer="/spec/cpu/features", rule="vm-cpu-features", message=message)
    count = rules_tuning.vcpus(spec)
    if count > most:
        what = f"{count} vCPUs (sockets or maxSockets x cores x threads)"
        message = f"{what} are more than the {most} that {spec.machine.type} has"
        yield Problem(pointer="/spec/cpu", rule="vm-vcpus", message=message)
    if cpu.mode == CpuMode.HOST_PASSTHROUGH:
        yield Problem(
            pointer="/spec/cpu/mode",
            rule="vm-cpu-migration",
            message="with host-passthrough the VM migrates to hosts with the very same CPU only",
            advice="take host-model, or cluster-baseline where hosts differ",
            severity=Severity.WARNING,
        )
    guest = int(spec.memory.guest)
    if guest % _MIB or not _MIB <= guest <= rules_tuning.MOST_MEMORY:
        yield Problem(pointer="/spec/memory/guest", rule="vm-memory", message="memory is whole MiB, from 1MiB to 16TiB")


def _unique_names(spec: VirtualMachineSpec) -> Iterator[Problem]:
    """Over all devices together: they become libvirt aliases."""
    first: dict[str, str] = {}
    for pointer, item in _devices(spec):
        if item.name in first:
            message = f"the name {item.name!r} is taken by {first[item.name]}"
            yield Problem(pointer=f"{pointer}/name", rule="vm-device-name", message=message)
        first.setdefault(item.name, pointer)


def _boot_order(spec: VirtualMachineSpec) -> Iterator[Problem]:
    first: dict[int, str] = {}
    for pointer, item in _devices(spec):
        order = item.boot_order
        if order is UNSET:
            continue
        if order in first:
            message = f"boot order {order} is taken by {first[order]}"
            yield Problem(pointer=f"{pointer}/bootOrder", rule="vm-boot-order", message=message)
        first.setdefault(order, pointer)


def _devices(spec: VirtualMachineSpec) -> Iterator[tuple[str, devices.NamedDevice]]:
    yield from ((f"/spec/disks/{i}", disk) for i, disk in enumerate(spec.disks))
    yield from ((f"/spec/cdroms/{i}", drive) for i, drive in enumerate(spec.cdroms))
    yield from ((f"/spec/interfaces/{i}", nic) for i, nic in enumerate(spec.interfaces))
    yield from ((f"/spec/hostDevices/{i}", device) for i, device in enumerate(spec.host_devices))


def _bridges(spec: VirtualMachineSpec, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    for index, nic in enumerate(spec.interfaces):
        pointer = f"/spec/interfaces/{index}"
        if nic.mac == _NO_ADDRESS:
            message = "00:00:00:00:00:00 is no address of a NIC: kernels take it for none"
            yield Problem(pointer=f"{pointer}/mac", rule="vm-mac-unicast", message=message, advice="leave mac out")
        if nic.mac is not UNSET and not Mac(nic.mac).unicast:
            yield Problem(
                pointer=f"{pointer}/mac",
                rule="vm-mac-unicast",
                message=f"{nic.mac} is a group address; a NIC has a unicast one",
                advice="clear the lowest bit of the first octet, such as 52:54:00:…",
            )
        if nic.vlan is UNSET or nic.bridge is UNSET:
            continue
        if filtering := resolve.filtering(nic.bridge, documents):
            yield from _reaches(nic.vlan, filtering, f"{pointer}/vlan")
            continue
        name = devices.access_bridge(nic.bridge, nic.vlan)
        if len(name) > _LONGEST_LINK:
            message = f"the access bridge {name} would have {len(name)} characters; a link has {_LONGEST_LINK}"
            yield Problem(
                pointer=f"{pointer}/bridge",
                rule="vm-bridge-name",
                message=message,
                advice="give the bridge a shorter name",
            )
        base = documents.get(Key("Bridge", nic.bridge))
        if base is not None and base.spec.vlan is not UNSET:
            message = f"Bridge {nic.bridge} is an access bridge of VLAN {base.spec.vlan} itself; VLANs do not nest"
            yield Problem(pointer=f"{pointer}/vlan", rule="vm-vlan-nested", message=message)


def _reaches(vlan: int, bridge: Document, pointer: str) -> Iterator[Problem]:
    """The VLAN of an access port leaves the host by the uplink's trunk, which the bridge's document has to say."""
    spec = bridge.spec
    if spec.uplink is UNSET:
        return
    device = spec.uplink if spec.vlan is UNSET else f"{spec.uplink}.{spec.vlan}"
    said = next((port.vlans for port in spec.ports if port.name == device), UNSET)
    try:
        carried = vlans.wanted(spec.vlan_default_pvid or None) if said is UNSET else ports.ranges(said)
    except ValueError:
        return  # reported with the bridge
    if not any(item.first <= vlan <= item.last for item in carried):
        message = f"the uplink {device} of {bridge.key} does not carry VLAN {vlan}: the VM reaches only its own host"
        advice = f"add {vlan} to the trunk of {device} in spec.ports of {bridge.key}"
        yield Problem(pointer=pointer, rule="vm-vlan-trunk", message=message, advice=advice, severity=Severity.WARNING)


def _console(spec: VirtualMachineSpec) -> Iterator[Problem]:
    try:
        ipaddress.ip_address(spec.graphics.listen)
    except ValueError:
        yield Problem(
            pointer="/spec/graphics/listen", rule="vm-listen", message=f"{spec.graphics.listen!r} is no IP address"
        )
    if spec.graphics.password is not UNSET:
        yield from check_secret(spec.graphics.password, "/spec/graphics/password")
    for field in ("port", "password"):
        if spec.graphics.type == GraphicsType.NONE and getattr(spec.graphics, field) is not UNSET:
            message = f"{field} says nothing with type none"
            yield Problem(pointer=f"/spec/graphics/{field}", rule="vm-graphics", message=message)


# -- unique over all documents -----------------------------------------------------------------------------------


_NAMED = 3  # in a message
_Owners = Mapping[str, Mapping[Key, bool]]  # claim → who makes it and may share it, in the order of the documents


def _claims(doc: Document, documents: Mapping[Key, Document], pools: Mapping[str, PoolTarget]) -> Iterator[Claim]:
    """What belongs to one VM only."""
    spec = resolve.effective(doc)
    yield Claim(what=f"UUID {spec.uuid}", rule="vm-uuid-unique", pointer="/spec/uuid", everywhere=True)
    if spec.vsock and spec.vsock.cid:
        yield Claim(what=f"vsock CID {spec.vsock.cid}", rule="vm-vsock-cid", pointer="/spec/vsock/cid")
    for index, nic in enumerate(spec.interfaces):
        pointer = f"/spec/interfaces/{index}/mac"
        yield Claim(what=f"MAC {nic.mac}", rule="vm-mac-unique", pointer=pointer, everywhere=True)
    if spec.graphics.port is not None:
        yield Claim(what=f"VNC port {spec.graphics.port}", rule="vm-port-unique", pointer="/spec/graphics/port")
    for index, disk in enumerate(spec.disks):
        place = sources.claimed(disk, documents, pools)
        common: dict[str, Any] = {
            "same": place,
            "shared": disk.shareable,
            "everywhere": place.startswith(("rbd:", "iscsi:")),  # a path is one of each host
        }
        if disk.volume:
            pointer = f"/spec/disks/{index}/volume"
            yield Claim(what=f"volume {disk.volume}", rule="vm-volume-unique", pointer=pointer, **common)
        elif place:
            pointer = f"/spec/disks/{index}/source"
            yield Claim(what=f"disk {place}", rule="vm-source-unique", pointer=pointer, **common)
    for what, pointer in rules_host_devices.claims(spec):
        yield Claim(what=what, rule="vm-host-device-unique", pointer=pointer)


def claims(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Claim]:
    """What belongs to one VM only among those of all hosts."""
    idle = doc.spec.run_strategy == RunStrategy.HALTED
    for claim in _claims(doc, documents, _indexed(documents).pools):
        if claim.everywhere:
            yield msgspec.structs.replace(claim, idle=idle)


def _identities(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    index = _indexed(documents)
    seen: set[str] = set()
    for claim in _claims(doc, documents, index.pools):
        holders = index.owners.get(claim.key, {})
        users = _others(doc.key, {key: None for key, shared in holders.items() if not (shared and claim.shared)})
        if users or claim.key in seen:
            yield claim.problem(users or "this VM twice")
        seen.add(claim.key)


def _others(own: Key, holders: Mapping[Key, None]) -> str:
    """The first few by name: thousands may share one, and each of them is told."""
    named = [str(key) for key in islice((key for key in holders if key != own), _NAMED)]
    more = len(holders) - (own in holders) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


class _Index(NamedTuple):
    documents: Mapping[Key, Document]
    size: int
    owners: _Owners
    pools: Mapping[str, PoolTarget]


_last: list[_Index] = []  # of the documents that were checked last: each of them asks for it


def _indexed(documents: Mapping[Key, Document]) -> _Index:
    for index in _last:
        if index.documents is documents and index.size == len(documents):
            return index
    owners: dict[str, dict[Key, bool]] = defaultdict(dict)
    pools = pool_targets(documents)
    for key, doc in documents.items():
        if key.kind == KIND:
            for claim in _claims(doc, documents, pools):
                owners[claim.key][key] = claim.shared and owners[claim.key].get(key, True)
    _last[:] = [_Index(documents, len(documents), dict(owners), pools)]
    return _last[0]
