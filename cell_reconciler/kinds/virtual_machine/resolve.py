"""What a document means: defaults that depend on names. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID, uuid5

import msgspec
from msgspec import inspect as mi

from cell_reconciler.kinds.virtual_machine import baseline, guest_os
from cell_reconciler.kinds.virtual_machine.codec import ports
from cell_reconciler.kinds.virtual_machine.codec.board import machine_family
from cell_reconciler.kinds.virtual_machine.spec import (
    Graphics,
    GraphicsType,
    Interface,
    Machine,
    VideoModel,
    VirtualMachineSpec,
)
from cell_reconciler.kinds.virtual_machine.spec.disk import CdromBus
from cell_reconciler.model.document import Document, spec_digest
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, fields_of
from cell_reconciler.model.key import Key
from cell_reconciler.model.quantities import Mac

# Ours, drawn once: a VM has the same UUID on whichever host it is declared.
_DOMAINS = UUID("c3ab8f2e-51c0-5d0e-8b7a-61d2c0dece11")


def default_uuid(name: str) -> str:
    """UUID of a VM whose document names none."""
    return str(uuid5(_DOMAINS, f"cell/{name}"))


def default_mac(vm: str, interface: str) -> Mac:
    """A stable, locally administered unicast address: 52 and 40 bits of a hash.

    QEMU's own range 52:54:00 leaves 24 bits: of 10,000 interfaces three pairs would have the same address.
    """
    digest = hashlib.sha256(f"{vm}/{interface}".encode()).digest()
    return Mac(":".join(["52", *(f"{byte:02x}" for byte in digest[:5])]))


# name → (spec as it stands in the document, the effective one): a document is asked several times a pass.
_effective: dict[str, tuple[VirtualMachineSpec, VirtualMachineSpec]] = {}
_REMEMBERED = 20_000


def effective(doc: Document) -> VirtualMachineSpec:
    """The spec with every default filled in; None stands for a device or option that is not to be there."""
    before, found = _effective.get(doc.key.name, (None, None))
    if before is doc.spec and found is not None:
        return found
    if len(_effective) >= _REMEMBERED:
        _effective.clear()
    found = _resolved(doc.key.name, doc.spec)
    _effective[doc.key.name] = (doc.spec, found)
    return found


def filtering(bridge: str | UnsetType, documents: Mapping[Key, Document]) -> Document | None:
    """The document of a bridge that filters VLANs: a VLAN there is a setting of the port, and no bridge of its own."""
    doc = documents.get(Key("Bridge", str(bridge)))
    return doc if doc is not None and doc.spec.vlan_filtering else None


def defined(doc: Document, documents: Mapping[Key, Document]) -> VirtualMachineSpec:
    """The effective spec as it stands in the domain's XML: what is a setting of the tap is not in there."""
    want = baseline.resolved(effective(doc), documents)
    interfaces = tuple(
        msgspec.structs.replace(nic, vlan=None) if nic.vlan is not None and filtering(nic.bridge, documents) else nic
        for nic in want.interfaces
    )
    if all(a is b for a, b in zip(interfaces, want.interfaces, strict=True)):
        return want
    return msgspec.structs.replace(want, interfaces=interfaces)


def _resolved(name: str, spec: VirtualMachineSpec) -> VirtualMachineSpec:
    uuid = default_uuid(name) if spec.uuid is UNSET else spec.uuid
    interfaces = tuple(_interface(name, nic) for nic in spec.interfaces)
    graphics = Graphics(type=GraphicsType.NONE) if spec.graphics.type == GraphicsType.NONE else spec.graphics
    video = spec.video
    if video is UNSET:
        video = VideoModel.NONE if graphics.type == GraphicsType.NONE else VideoModel.VGA
    cpu = spec.cpu
    if cpu.max_sockets is UNSET:
        cpu = msgspec.structs.replace(cpu, max_sockets=cpu.sockets)
    memory = spec.memory
    if memory.current == memory.guest:  # all of it, as it is without saying so
        memory = msgspec.structs.replace(memory, current=UNSET)
    bus = tray(spec.machine)
    cdroms = tuple(msgspec.structs.replace(c, bus=bus) if c.bus is UNSET else c for c in spec.cdroms)
    spec = guest_os.filled(spec)
    spare: Any = spec.hotplug_ports
    if spare is UNSET and machine_family(spec.machine.type) == "q35":
        spare = ports.DEFAULT
    full = msgspec.structs.replace(
        spec,
        hotplug_ports=spare,
        uuid=uuid,
        interfaces=interfaces,
        graphics=graphics,
        video=video,
        cpu=cpu,
        memory=memory,
        cdroms=cdroms,
    )
    return _settled(full)  # type: ignore[no-any-return] # the type of what it is given


def tray(machine: Machine) -> CdromBus:
    """The bus of a CD-ROM drive whose document names none."""
    return CdromBus.SATA if machine_family(machine.type) == "q35" else CdromBus.IDE


def _interface(vm: str, nic: Interface) -> Interface:
    if nic.queues == 1:
        nic = msgspec.structs.replace(nic, queues=UNSET)  # libvirt does not write it down: there is one always
    return msgspec.structs.replace(nic, mac=default_mac(vm, nic.name)) if nic.mac is UNSET else nic


def _settled(value: Any) -> Any:
    """UNSET → None, all the way down: what a VM's document leaves out is not there, and that is ours."""
    if isinstance(value, msgspec.Struct):
        changes = {}
        for name in _unsettled(value.__class__):
            old = getattr(value, name)
            new = None if old is UNSET else _settled(old)
            if new is not old:
                changes[name] = new
        return msgspec.structs.replace(value, **changes) if changes else value
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        items = tuple(_settled(item) for item in value)
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    return value


@cache
def _unsettled(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields that may be UNSET, or have something inside that may be."""
    return tuple(
        field.name
        for field in fields_of(struct)
        if (field.default is UNSET and not field.required) or _struct_of(field.type)
    )


def _struct_of(kind: Any) -> bool:
    return isinstance(kind.item_type if isinstance(kind, mi.VarTupleType) else kind, mi.StructType)


def digest(spec: VirtualMachineSpec) -> str:
    """Digest of what a document says of the host: policies may change without any writing.

    Of the document, not of what a guest OS or a name fills in: another table of defaults changes no digest. Anybody who
    may list domains can read it, so that the data for cloud-init is not part of it.
    """
    others = {name: value for name, value in policies().items() if name != "guest_os"}  # which gives defaults
    return spec_digest(msgspec.structs.replace(spec, **others, cloud_init=UNSET))


@cache
def policies() -> dict[str, Any]:
    """The fields without counterpart on the host, with their defaults."""
    return {f.name: f.default for f in fields_of(VirtualMachineSpec) if f.change == Effect.POLICY}


def same(want: VirtualMachineSpec, have: VirtualMachineSpec) -> bool:
    """Is there no difference that a comparison could find? Much cheaper than comparing field by field."""
    return bool(want == msgspec.structs.replace(have, **{name: getattr(want, name) for name in policies()}))
