"""Builds the World that planning looks at: what the settings and pool documents say, resolved once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.document import Document
from cell_reconciler.model.guest import GuestTarget
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.model.node import Overcommit
from cell_reconciler.model.storage import PoolTarget


def pool_targets(documents: Mapping[Key, Document]) -> dict[str, PoolTarget]:
    """The pools that the documents declare, by StoragePool name."""
    pools = [doc for key, doc in documents.items() if key.kind == "StoragePool"]
    if not pools:
        return {}
    of: Any = kind("StoragePool")  # no kind but this one has targets
    return {doc.key.name: of.target(doc) for doc in pools}


def guest_targets(documents: Mapping[Key, Document]) -> dict[str, GuestTarget]:
    """What VMs need beside their XML, by VM; of those that need anything."""
    vms = [doc for key, doc in documents.items() if key.kind == "VirtualMachine"]
    some = [doc for doc in vms if doc.spec.cloud_init or doc.spec.graphics.password]
    if not some:
        return {}
    from cell_reconciler.kinds.virtual_machine import passwords, seed

    return {doc.key.name: GuestTarget(seed=seed.target(doc), password=passwords.file_of(doc)) for doc in some}


def needs_filters(documents: Mapping[Key, Document]) -> bool:
    """Does any of the documents need a packet filter? Reading filters takes a library that not every host has."""
    return any(key.kind == "Bridge" and doc.spec.mode == "internal" for key, doc in documents.items())


def needs_devices(documents: Mapping[Key, Document]) -> bool:
    """Does any of the documents need a device of the host? Nobody else pays for looking at them."""
    machines = [doc for key, doc in documents.items() if key.kind == "VirtualMachine"]
    if not machines:
        return False
    from cell_reconciler.kinds.virtual_machine.host_devices import needed

    return any(needed(doc.spec) for doc in machines)


def domain_type(documents: Mapping[Key, Document], host: str) -> str:
    """``kvm`` or ``qemu``, as this host's Host document says; ``kvm`` without one."""
    doc = documents.get(Key("Host", host))
    return str(doc.spec.domain_type.value) if doc else "kvm"


def overcommit(documents: Mapping[Key, Document], host: str) -> Overcommit:
    """How much more than it has this host may promise, as its Host document says; nothing more without one."""
    doc = documents.get(Key("Host", host))
    if doc is None:
        return Overcommit()
    said = doc.spec.overcommit
    return Overcommit(cpu=said.cpu, memory=said.memory, disk=said.disk)


def build(host: str, documents: Mapping[Key, Document], live: Live) -> World:
    """One World for one observation."""
    return World(
        host=host,
        domain_type=domain_type(documents, host),
        documents=documents,
        live=live,
        pools=pool_targets(documents),
        overcommit=overcommit(documents, host),
    )


def without_domains(world: World, names: Collection[str]) -> World:
    """The world as it will be when these domains are gone: neither they nor their vnets use anything any more."""
    if not names:
        return world
    from xml.etree import ElementTree

    taps: set[str] = set()
    for name in names:
        xml = world.live.domains[name].active
        if xml is not None:
            taps.update(t.get("dev", "") for t in ElementTree.fromstring(xml).iterfind("devices/interface/target"))
    domains = {name: domain for name, domain in world.live.domains.items() if name not in names}
    links = {name: link for name, link in world.live.links.items() if name not in taps}
    return msgspec.structs.replace(world, live=msgspec.structs.replace(world.live, domains=domains, links=links))
