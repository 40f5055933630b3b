"""Room on a host: what runs, what comes, who is refused, and with which figures."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.virtual_machine import capacity, observe, plan_capacity, xml
from cell_reconciler.model.change import Change
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.node import Load, Node, Overcommit
from tests.kinds.vm.hosts import GIB, POOL, RECORDED, node, on, running
from tests.kinds.vm.make import document, planned, vm, world
from tests.kinds.vm.schema import rendered


def _reasons(change: Change) -> list[str]:
    return [refusal.reason for refusal in change.refused]


def _domain(doc: Document, state: str = "running", **now: Any) -> Domain:
    """As we defined it; ``now``: what it was booted with, where that differs."""
    inactive = xml.text(rendered(planned(doc, on(None, doc))))
    booted = vm(doc.key.name, **{**doc.given["spec"], **now})
    active = xml.text(rendered(planned(booted, on(None, booted)))) if state == "running" else None
    return Domain(uuid="", name=doc.key.name, state=state, inactive=inactive, active=active, reason="shutdown")


def test_without_permission_a_core_carries_one_vcpu() -> None:
    doc = vm("web", cpu={"cores": 3})
    assert planned(doc, on(node(4), doc)).refused == ()
    change = planned(doc, on(node(4), doc, domains=(running("other", 2),)))
    [refusal] = change.refused
    assert (refusal.reason, change.steps) == ("NoRoom", ())
    assert refusal.message == (
        "VM web needs 3 vCPUs; 1 other VM that run or are to run have 2 of the 4 that 4 cores may carry (1 for a core)"
    )
    assert refusal.advice == "stop another VM, or allow it in Host/h1: overcommit.cpu 1.3"
    assert planned(doc, on(node(4), doc, domains=(running("other", 2),), cpu=1.3)).refused == ()


def test_more_than_eight_for_a_core_is_nothing_that_can_be_allowed() -> None:
    doc = vm("web", cpu={"cores": 3})
    [refusal] = planned(doc, on(node(4), doc, domains=(running("other", 30),), cpu=8)).refused
    assert refusal.advice == "stop another VM, or move one: 8 vCPUs for a core is Cell's limit"


BIG = {"guest": "1GiB", "maxGuest": "8GiB"}


@pytest.mark.parametrize(
    ("less", "more", "host"),
    [
        ({"cpu": {"sockets": 1, "maxSockets": 8}}, {"cpu": {"sockets": 3, "maxSockets": 8}}, node(4)),
        ({"memory": BIG}, {"memory": {**BIG, "guest": "3GiB"}}, node(4, 4)),
    ],
)
def test_those_that_grow_at_the_same_time_share_the_room(less: Any, more: Any, host: Node) -> None:
    docs = [vm(name, **more) for name in ("a", "b")]
    there = tuple(_domain(vm(name, **less)) for name in ("a", "b"))
    assert [_reasons(planned(doc, on(host, *docs, domains=there))) for doc in docs] == [[], ["NoRoom"]]
    late = vm("c", cpu={"cores": 2}, memory={"guest": "2GiB"})
    assert _reasons(planned(late, on(host, docs[0], late, domains=there[:1]))) == ["NoRoom"], "nor to start in"


def test_a_host_beyond_what_cell_supports_says_so() -> None:
    host = document({"apiVersion": "cell/v1", "kind": "Host", "metadata": {"name": "h1"}, "spec": {}})
    beyond = on(msgspec.structs.replace(RECORDED, threads=4098), host)
    [condition] = kind("Host").conditions(host, None, beyond)
    assert condition.type == "BeyondLimits"
    assert "4098 CPUs" in condition.message
    assert list(kind("Host").conditions(host, None, on(node(gib=17 * 1024), host)))
    assert not list(kind("Host").conditions(host, None, on(node(gib=16 * 1024), host)))


def test_memory_is_that_of_the_host_or_what_is_allowed() -> None:
    doc = vm("web", memory={"guest": "8GiB", "hugepages": {}})
    assert planned(doc, on(node(gib=16), doc, domains=(running("other", mib=8 * 1024),))).refused == ()
    crowded = (running("other", mib=8 * 1024 + 1),)
    [refusal] = planned(doc, on(node(gib=16), doc, domains=crowded)).refused
    assert "needs 8GiB; 1 other VM that run or are to run have 8193MiB of the 16GiB" in refusal.message
    assert refusal.advice.endswith("overcommit.memory 1.1")
    assert planned(doc, on(node(gib=16), doc, domains=crowded, memory=1.1)).refused == ()
    assert _reasons(planned(doc, on(node(gib=16), doc, memory=0.4))) == ["NoRoom"], "less than 1 keeps some"


def test_what_is_not_known_is_not_claimed() -> None:
    doc = vm("web", cpu={"cores": 200}, memory={"guest": "15TiB"})
    assert planned(doc, on(None, doc)).refused == ()


def test_who_comes_is_admitted_by_start_order_and_name() -> None:
    docs = [
        vm("a", cpu={"cores": 2}, startOrder=2),
        vm("b", cpu={"cores": 3}),
        vm("c", cpu={"cores": 2}),
        vm("d", cpu={"cores": 1}, startOrder=1),
        vm("halted", cpu={"cores": 4}, runStrategy="Halted"),
        vm("manual", cpu={"cores": 4}, runStrategy="Manual"),
    ]
    around = on(node(4), *docs)
    refused = {doc.key.name for doc in docs if planned(doc, around).refused}
    assert refused == {"a", "c"}, "b and d fit; c does not, though it comes before d"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=8), st.integers(1, 8))
def test_what_is_admitted_fits_and_what_is_refused_did_not(coming: list[tuple[int, int]], cores: int) -> None:
    docs = [vm(f"v{i}", cpu={"cores": c}, startOrder=order) for i, (order, c) in enumerate(coming)]
    around = on(node(cores), *docs)
    admitted = [doc for doc in docs if not planned(doc, around).refused]
    used = sum(doc.spec.cpu.cores for doc in admitted)
    assert used <= cores
    for doc in docs:
        if doc not in admitted:
            before = [d for d in admitted if (d.spec.start_order, d.key.name) < (doc.spec.start_order, doc.key.name)]
            assert sum(d.spec.cpu.cores for d in before) + doc.spec.cpu.cores > cores


def test_what_runs_is_never_touched() -> None:
    docs = [vm("a", cpu={"cores": 4}), vm("b", cpu={"cores": 4})]
    around = on(node(1), *docs, domains=tuple(_domain(doc) for doc in docs))
    assert all(planned(doc, around).quiet for doc in docs)


def test_one_that_is_off_is_defined_anew_but_not_started() -> None:
    doc = vm("web", cpu={"cores": 4})
    change = planned(
        vm("web", cpu={"cores": 6}), on(node(4), vm("web", cpu={"cores": 6}), domains=(_domain(doc, "shutoff"),))
    )
    assert ([step.op for step in change.steps], _reasons(change)) == (["vm.redefine"], ["NoRoom"])


def test_a_restart_that_would_not_fit_does_not_begin_and_a_smaller_one_does() -> None:
    for cores, ops in ((4, ["vm.redefine"]), (1, ["vm.redefine", "vm.stop", "vm.start"])):
        before = vm("web", cpu={"cores": 2})
        doc = vm("web", cpu={"cores": cores}, updatePolicy={"restart": "Now"})
        change = planned(doc, on(node(3), doc, domains=(_domain(before),)))
        assert [step.op for step in change.steps] == ops
        assert bool(change.refused) == (cores == 4)


def test_vcpus_are_plugged_only_where_there_is_room() -> None:
    before = vm("web", cpu={"sockets": 2, "maxSockets": 8})
    doc = vm("web", cpu={"sockets": 4, "maxSockets": 8})
    assert _reasons(planned(doc, on(node(3), doc, domains=(_domain(before),)))) == ["NoRoom"]
    change = planned(doc, on(node(4), doc, domains=(_domain(before),)))
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.vcpus"]


@pytest.mark.parametrize(("machine", "most"), [("q35", 288), ("pc", 255), ("pc-i440fx-7.2", 255)])
def test_a_vm_has_no_more_vcpus_than_qemu_gives_its_machine(machine: str, most: int) -> None:
    for count in (most, most + 1):
        doc = vm("web", cpu={"maxSockets": count}, machine={"type": machine}, runStrategy="Halted")
        refused = planned(doc, on(RECORDED, doc)).refused
        assert [r.reason for r in refused] == (["TooManyVcpus"] if count > most else [])
        assert all(f"{machine} has {most} on this host" in r.message for r in refused)


def test_a_cpu_that_the_host_lacks() -> None:
    """By what libvirt said of a real host: usable models, and the features of host-model."""
    for cpu, missing in (
        ({"mode": "custom", "model": "Westmere"}, ""),
        ({"mode": "custom", "model": "Skylake-Server"}, "CPU model Skylake-Server"),
        ({"mode": "custom", "model": "NoSuchModel"}, "no CPU model NoSuchModel"),
        ({"mode": "custom", "model": "Skylake-Server", "features": {"disable": ["pcid"]}}, ""),
        ({"features": {"require": ["aes", "avx512f"]}}, "provide avx512f"),
        ({"mode": "host-passthrough", "features": {"require": ["avx512f"]}}, ""),
    ):
        doc = vm("web", cpu=cpu)
        refused = planned(doc, on(RECORDED, doc)).refused
        assert [r.reason for r in refused] == (["CpuUnfit"] if missing else []), cpu
        assert all(missing in r.message for r in refused)


def test_a_host_beyond_the_limits_of_cell_counts_as_one_within() -> None:
    huge = node(5000, 17 * 1024)
    assert huge.threads == 10_000
    assert capacity.limit(huge, Overcommit()) == Load(2048, 16 * 1024 * GIB), "two CPUs in a core"


def test_a_host_document_may_not_allow_more_than_cell_supports() -> None:
    for domain_type, severity in (("kvm", "error"), ("qemu", "warning")):
        spec = {"domainType": domain_type, "overcommit": {"cpu": 9}}
        doc = document({"apiVersion": "cell/v1", "kind": "Host", "metadata": {"name": "h1"}, "spec": spec})
        [problem] = kind("Host").check(doc, {})
        assert (problem.rule, problem.severity) == ("host-overcommit-cpu", severity)


def test_the_load_of_a_domain_is_what_is_there_not_what_may_be_plugged() -> None:
    text = "<domain><memory unit='MiB'>64</memory><vcpu current='2'>8</vcpu></domain>"
    assert observe.parsed(text).load == Load(2, 64 * 2**20)


def test_the_world_knows_what_the_host_document_allows() -> None:
    assert world(POOL, overcommit={"cpu": 2.5}).overcommit == Overcommit(cpu=2.5)
    unknown = msgspec.structs.replace(world(POOL), live=Live(host="h1"))
    assert plan_capacity.starting(vm("x"), unknown) is None
