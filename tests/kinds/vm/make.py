"""Documents and worlds from YAML text, as the loader would make them, and running a change's steps in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.world import build, guest_targets
from cell_reconciler.model.change import Change
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import decode
from cell_reconciler.model.guest import SAME, SEEDS, GuestTarget, Password, Seed
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live

VM = kind("VirtualMachine")


def document(given: Mapping[str, Any]) -> Document:
    """One document; raises msgspec.ValidationError for one that does not fit its kind."""
    metadata = given["metadata"]
    return Document(
        key=Key(given["kind"], metadata["name"]),
        spec=msgspec.convert(given.get("spec", {}), kind(given["kind"]).spec, dec_hook=decode),
        given=dict(given),
        position=Position("test.yaml", 1),
        annotations=metadata.get("annotations", {}),
    )


def documents(text: str) -> dict[Key, Document]:
    """All documents of a YAML text."""
    made = [document(given) for given in yaml.safe_load_all(text) if given]
    return {doc.key: doc for doc in made}


def vm(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Document:
    """A VirtualMachine; 128 MiB unless said otherwise."""
    spec.setdefault("memory", {"guest": "128MiB"})
    metadata = {"name": name, "annotations": annotations or {}}
    return document({"apiVersion": "cell/v1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec})


def pool(name: str, path: str) -> Document:
    spec = {"directory": {"path": path}}
    return document({"apiVersion": "cell/v1", "kind": "StoragePool", "metadata": {"name": name}, "spec": spec})


LAB = {"cpu": 1000, "memory": 100, "disk": 1000}  # overcommit of a small machine that emulates many VMs


def world(
    *docs: Document, live: Live | None = None, domain_type: str = "qemu", overcommit: dict[str, float] | None = None
) -> World:
    """What planning looks at; ``live`` as observed."""
    allowed = {"domainType": domain_type, "overcommit": LAB if overcommit is None else overcommit}
    host = document({"apiVersion": "cell/v1", "kind": "Host", "metadata": {"name": "h1"}, "spec": allowed})
    return build("h1", {doc.key: doc for doc in (host, *docs)}, live or Live(host="h1"))


def settled(doc: Document, live: Live) -> Live:
    """As a host has it that made the image of this VM, and set its password."""
    wanted = guest_targets({doc.key: doc}).get(doc.key.name, GuestTarget())
    seeds, passwords = dict(live.seeds), dict(live.passwords)
    if wanted.seed:
        images: dict[str, tuple[str, ...]] = {f"{SEEDS}/{doc.key.name}.1.iso": ()}
        seeds[doc.key.name] = Seed(images=images, declared=wanted.seed.declared)
    if wanted.password:
        passwords[doc.key.name] = Password(file=wanted.password, defined=SAME, running=SAME)
    return msgspec.structs.replace(live, seeds=seeds, passwords=passwords)


def planned(doc: Document, around: World) -> Change:
    """What the kind plans for one of the documents."""
    return VM.plan(doc, VM.observe(doc.key.name, around), around)


def carry_out(change: Change, doors: Doors) -> list[str]:
    """Run the steps in their order, read back each; returns the ops of those that were not done already."""
    done = []
    for step in change.steps:
        if step.action.done(doors):
            continue
        step.action.do(doors)
        assert step.action.done(doors), f"{step.op} had no effect"
        done.append(step.op)
    return done
