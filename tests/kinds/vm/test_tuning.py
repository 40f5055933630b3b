"""CPU time, pinning, NUMA and memory: what a document may not say, and what is done about a difference."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds.virtual_machine import live_tuning, patch, resolve, xml
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.change import Change
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, HostCpus, Live
from cell_reconciler.model.mark import Mark
from tests.kinds.vm.make import VM, planned, vm, world
from tests.kinds.vm.schema import rendered

HOST = HostCpus(online="0-7", shares=100)


def cells(*parts: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"cells": [{"cell": n, "cpus": cpus, "memory": size, **more} for n, (cpus, size) in enumerate(parts)]}


@pytest.mark.parametrize(
    ("spec", "rule", "pointer"),
    [
        ({"cpu": {"limit": 0}}, "vm-cpu-limit", "/spec/cpu/limit"),
        ({"cpu": {"limit": "9m"}}, "vm-cpu-limit", "/spec/cpu/limit"),
        ({"cpu": {"pinning": {"vcpus": [{"vcpu": 2, "cpuset": "0"}]}, "cores": 2}}, "vm-pinning", "/spec/cpu/pinning"),
        ({"cpu": {"pinning": {"ioThreads": [{"ioThread": 1, "cpuset": "0"}]}}}, "vm-pinning", "/spec/cpu/pinning"),
        ({"cpu": {"pinning": {"vcpus": [{"vcpu": 0, "cpuset": 1}] * 2}}}, "vm-pinning", "/spec/cpu/pinning/vcpus"),
        ({"cpu": {"cores": 2, "numa": cells(("0", "128MiB"))}}, "vm-numa-cpus", "/spec/cpu/numa/cells"),
        ({"cpu": {"maxSockets": 2, "numa": cells(("0", "128MiB"))}}, "vm-numa-cpus", "/spec/cpu/numa/cells"),
        ({"cpu": {"numa": cells(("0-1", "128MiB"))}}, "vm-numa-cpus", "/spec/cpu/numa/cells"),
        ({"cpu": {"numa": cells(("0", "64MiB"), ("0", "64MiB"))}}, "vm-numa-cpus", "/spec/cpu/numa/cells"),
        ({"cpu": {"numa": cells(("0", "129MiB"))}}, "vm-numa-memory", "/spec/cpu/numa/cells"),
        ({"cpu": {"numa": cells(("0", "127MiB"))}}, "vm-numa-memory", "/spec/cpu/numa/cells"),
        ({"cpu": {"numa": cells(("0", "128MiB"), mode="preferred")}}, "vm-numa-mode", "/spec/cpu/numa/cells/0/mode"),
        ({"memory": {"guest": "2GiB", "maxGuest": "1GiB"}}, "vm-max-guest", "/spec/memory/maxGuest"),
        ({"memory": {"guest": "2GiB", "maxGuest": "17TiB"}}, "vm-max-guest", "/spec/memory/maxGuest"),
        ({"memory": {"guest": "64MiB", "maxGuest": "128MiB"}}, "vm-max-guest", "/spec/memory/maxGuest"),
        (
            {"memory": {"guest": "1GiB", "maxGuest": "1GiB"}, "cpu": {"numa": cells(("0", "1GiB"))}},
            "vm-max-guest",
            "/spec/memory/maxGuest",
        ),
        (
            {"memory": {"guest": "512MiB", "maxGuest": "2GiB", "hugepages": {"pageSize": "1GiB"}}},
            "vm-max-guest",
            "/spec/memory/maxGuest",
        ),
        ({"memory": {"guest": "1GiB", "current": "2GiB"}}, "vm-memory-current", "/spec/memory/current"),
        ({"memory": {"guest": "1GiB", "current": "1KiB"}}, "vm-memory-current", "/spec/memory/current"),
        (
            {"memory": {"guest": "1GiB", "current": "1MiB", "balloon": False}},
            "vm-memory-current",
            "/spec/memory/current",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_place(spec: dict[str, Any], rule: str, pointer: str) -> None:
    found = [(p.rule, p.pointer) for p in problems(vm("web", **spec)) if p.severity == Severity.ERROR]
    assert [rule for rule, _ in found] == [rule]
    assert found[0][1].startswith(pointer)


@pytest.mark.parametrize(
    ("spec", "rule", "word"),
    [
        ({"cpu": {"shares": 20000}}, "vm-shares", "10000"),
        ({"memory": {"guest": "1GiB", "maxGuest": "1100MiB"}}, "vm-max-guest-step", "128MiB"),
        ({"memory": {"guest": "2GiB", "current": "1GiB", "hugepages": {}}}, "vm-current-hugepages", "huge"),
    ],
)
def test_what_costs_something_is_told(spec: dict[str, Any], rule: str, word: str) -> None:
    (found,) = problems(vm("web", **spec))
    assert (found.rule, found.severity) == (rule, Severity.WARNING)
    assert word in found.message
    assert found.advice


def test_a_numa_vm_that_may_grow_breaks_nothing() -> None:
    cpu = {"maxSockets": 2, "cores": 2, "numa": cells(("0-1", "1GiB"), ("2-3", "1GiB"), hostNodes="0")}
    assert problems(vm("web", cpu=cpu, memory={"guest": "3GiB", "maxGuest": "8GiB", "current": "2GiB"})) == []


def problems(doc: Document) -> list[Any]:
    return list(VM.check(doc, {doc.key: doc}))


# -- what is done --------------------------------------------------------------------------------------------------


def running(doc: Document, **more: Any) -> Domain:
    """A domain that was made as its document says, and runs so."""
    text = xml.text(rendered(VM.plan(doc, None, world(doc))))
    domain = Domain(uuid="u", name="web", state="running", inactive=text, active=text)
    return msgspec.structs.replace(domain, **more)


def plan(doc: Document, domain: Domain, host: HostCpus = HOST) -> Change:
    return planned(doc, world(doc, live=Live(host="h1", domains={"web": domain}, cpus=host)))


def edited(text: str | None, old: str, new: str) -> str:
    assert text
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(("shares", "quiet"), [(100, True), (1024, False)])
def test_the_shares_that_everybody_has_are_none(shares: int, quiet: bool) -> None:
    plain = vm("web")
    domain = running(plain)
    set_live = edited(domain.active, "<devices>", f"<cputune><shares>{shares}</shares></cputune><devices>")
    change = plan(plain, msgspec.structs.replace(domain, active=set_live))
    assert change.quiet is quiet
    assert [step.text for step in change.steps] == ([] if quiet else ["CPU time of running VM web: 100 shares"])


def test_shares_that_count_for_nothing_are_not_there() -> None:
    doc = vm("web", cpu={"shares": 500})
    assert plan(doc, running(doc)).quiet
    change = plan(doc, running(doc, unweighted=True))
    assert [(f.path, f.have, f.want, f.pending) for f in change.fields] == [("spec.cpu.shares", None, 500, False)]
    assert [step.op for step in change.steps] == ["vm.scheduler"]


def pins(**vcpus: str) -> str:
    return "".join(f"<vcpupin vcpu='{n[1:]}' cpuset='{cpus}'/>" for n, cpus in vcpus.items())


@pytest.mark.parametrize(
    ("live", "paths"),
    [
        (pins(v0="2-3", v1="2-3") + "<emulatorpin cpuset='2-3'/>", []),
        (pins(v0="2-3") + "<emulatorpin cpuset='2-3'/>", ["spec.cpu.pinning.cpuset"]),
        ("", ["spec.cpu.pinning.cpuset"]),
    ],
)
def test_pins_of_every_thread_are_the_set_of_all(live: str, paths: list[str]) -> None:
    """libvirt has no way to give a running VM one set for all."""
    plain, doc = running(vm("web", cpu={"cores": 2})), vm("web", cpu={"cores": 2, "pinning": {"cpuset": "3,2"}})
    active = edited(plain.active, "<devices>", f"<cputune>{live}</cputune><devices>")
    change = plan(doc, msgspec.structs.replace(running(doc), active=active))
    assert [f.path for f in change.fields] == paths
    assert [s.text for s in change.steps] == ["pin running VM web: all that has no set of its own"] * len(paths)


def test_a_pin_by_hand_is_taken_back_alone() -> None:
    doc = vm("web", cpu={"cores": 2})
    domain = running(doc)
    active = edited(domain.active, "<devices>", f"<cputune>{pins(v0='0-7', v1='5')}</cputune><devices>")
    change = plan(doc, msgspec.structs.replace(domain, active=active))
    assert [(f.path, f.want) for f in change.fields] == [("spec.cpu.pinning.vcpus[1]", None)]
    assert change.steps[0].action == live_tuning.Pin("web", ("vcpu 1",), False, "0-7")


def test_of_an_adopted_vm_only_the_pins_that_are_named_are_ours() -> None:
    theirs = running(vm("web", cpu={"cores": 2, "pinning": {"cpuset": "1", "vcpus": [{"vcpu": 0, "cpuset": "4"}]}}))
    doc = vm("web", {"cell/adopt": "true"}, cpu={"pinning": {"emulator": "2"}})
    change = plan(doc, theirs)
    assert [f.path for f in change.fields] == ["spec.cpu.pinning.emulator"]


def test_a_thread_that_comes_is_pinned_by_the_step_that_brings_it() -> None:
    before = running(vm("web"))
    doc = vm("web", ioThreads=1, cpu={"pinning": {"ioThreads": [{"ioThread": 1, "cpuset": 1}]}})
    change = plan(doc, before)
    assert change.pending == ()
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.iothreads"]


def test_a_pin_of_a_vcpu_that_comes_with_the_next_start_waits_with_it() -> None:
    before = running(vm("web"))
    doc = vm("web", cpu={"maxSockets": 2, "pinning": {"vcpus": [{"vcpu": 1, "cpuset": 1}]}})
    change = plan(doc, before)
    assert [f.path for f in change.pending] == ["spec.cpu.maxSockets"]
    assert [step.op for step in change.steps] == ["vm.redefine"]


@pytest.mark.parametrize(
    ("actual", "note", "paths"),
    [
        (262144, "", ["spec.memory.current"]),  # somebody took the balloon's target away, or it was never given
        (131072, "", []),
        (262144, "131072", []),  # it was asked, and does not follow
        (65536, "131072", ["spec.memory.current"]),  # somebody asked for more
    ],
)
def test_the_balloon_is_what_the_guest_was_asked_for(actual: int, note: str, paths: list[str]) -> None:
    doc = vm("web", memory={"guest": "256MiB", "current": "128MiB"})
    domain = running(doc)
    size = '<currentMemory unit="KiB">{}</currentMemory>'.format
    active = edited(domain.active, size(131072), size(actual))
    if not note:
        active = edited(active, ' taken="131072"', "")
    change = plan(doc, msgspec.structs.replace(domain, active=active))
    assert [f.path for f in change.fields] == paths
    around = world(doc, live=Live(host="h1", domains={"web": msgspec.structs.replace(domain, active=active)}))
    told = {c.type for c in VM.conditions(doc, VM.observe("web", around), around)}
    assert ("BalloonWaiting" in told) == (note == "131072" and actual > 131072)


@pytest.mark.parametrize(
    ("memory", "live"),
    [
        ({"guest": "512MiB", "maxGuest": "1GiB"}, True),
        ({"guest": "1GiB", "maxGuest": "1GiB"}, True),
        ({"guest": "500MiB", "maxGuest": "1GiB"}, False),
        ({"guest": "128MiB", "maxGuest": "1GiB"}, False),
        ({"guest": "2GiB", "maxGuest": "4GiB"}, False),
    ],
)
def test_memory_is_plugged_where_the_instance_has_room(memory: dict[str, str], live: bool) -> None:
    change = plan(vm("web", memory=memory), running(vm("web", memory={"guest": "256MiB", "maxGuest": "1GiB"})))
    assert ("vm.memory" in [step.op for step in change.steps]) is live
    assert ("spec.memory.guest" in [f.path for f in change.pending]) is not live


def test_without_a_free_slot_memory_waits() -> None:
    domain = running(vm("web", memory={"guest": "256MiB", "maxGuest": "1GiB"}))
    full = msgspec.structs.replace(domain, active=edited(domain.active, 'slots="32"', 'slots="0"'))
    change = plan(vm("web", memory={"guest": "512MiB", "maxGuest": "1GiB"}), full)
    assert [f.path for f in change.pending] == ["spec.memory.guest"]


# -- the definition ------------------------------------------------------------------------------------------------


def patched(before: Document, after: Document, *paths: str, edit: tuple[str, str] = ("", "")) -> Any:
    root = xml.parse(xml.text(rendered(VM.plan(before, None, world(before)))).replace(*edit))
    mark = Mark(Key("VirtualMachine", "web"), "0")
    patch.apply(root, resolve.effective(after), Context(), set(paths), mark)
    return root


def test_the_only_cell_follows_the_vcpus() -> None:
    memory = {"guest": "1GiB", "maxGuest": "2GiB"}
    root = patched(vm("web", memory=memory), vm("web", memory=memory, cpu={"cores": 4}), "spec.cpu.cores")
    assert root.find("cpu/numa/cell").get("cpus") == "0-3"


def test_what_was_made_for_memory_to_plug_goes_with_it() -> None:
    before = vm("web", memory={"guest": "1GiB", "maxGuest": "1GiB"})
    assert len(rendered(VM.plan(before, None, world(before))).findall("devices/memory")) == 1, "QEMU wants room"
    root = patched(before, vm("web", memory={"guest": "1GiB"}), "spec.memory.maxGuest")
    assert [root.find(path) for path in ("maxMemory", "cpu/numa", "devices/memory")] == [None] * 3


def test_a_cell_of_others_stays_with_what_they_said_of_it() -> None:
    before, after = vm("web", memory={"guest": "1GiB", "maxGuest": "2GiB"}), vm("web", memory={"guest": "2GiB"})
    paths = ("spec.memory.maxGuest", "spec.memory.guest")
    root = patched(before, after, *paths, edit=('<cell id="0"', '<cell id="0" memAccess="shared"'))
    cell = root.find("cpu/numa/cell")
    assert (cell.get("memAccess"), cell.get("memory")) == ("shared", str(2 * 2**20))


@pytest.mark.parametrize("ours", [True, False])
def test_the_board_for_many_vcpus_goes_only_if_it_was_ours(ours: bool) -> None:
    many, few = vm("web", cpu={"sockets": 288}), vm("web", cpu={"sockets": 8})
    edit = ("", "") if ours else (' eim="ours"', "")
    root = patched(many, few, "spec.cpu.sockets", "spec.cpu.maxSockets", edit=edit)
    assert (root.find("devices/iommu") is None) is ours
    assert (root.find("features/ioapic") is None) is ours
