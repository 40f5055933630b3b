"""Nodes for planning: as libvirt 9.0 described one (``data/node.json``), with CPUs and memory as a test needs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cell_reconciler.kinds.contract import World
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.node import Node
from tests.kinds.vm.make import pool, world

RECORDED = msgspec.json.decode((Path(__file__).parent / "data" / "node.json").read_bytes(), type=Node)
POOL = pool("local", "/var/lib/libvirt/images/local")
GIB = 2**30


def node(cores: int = 4, gib: int = 16, **more: object) -> Node:
    return msgspec.structs.replace(RECORDED, cores=cores, threads=2 * cores, memory=gib * GIB, **more)


def on(where: Node | None, *docs: Document, domains: tuple[Domain, ...] = (), **overcommit: float) -> World:
    """The world of these documents on this node; what is not said about overcommit is not allowed."""
    live = Live(host="h1", node=where, domains={domain.name: domain for domain in domains})
    return world(POOL, *docs, live=live, overcommit=overcommit)


def running(name: str, vcpus: int = 1, mib: int = 128) -> Domain:
    """Somebody else's."""
    text = (
        f"<domain type='qemu'><name>{name}</name><memory unit='KiB'>{mib * 1024}</memory><vcpu>{vcpus}</vcpu></domain>"
    )
    return Domain(uuid=name, name=name, state="running", inactive=text, active=text)
