"""What the host has and allows: its facts from a real libvirt, room, CPUs, start order, and the guest's next boot."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import Journal
from cell_reconciler.errors import Refused, Transient
from cell_reconciler.kinds.virtual_machine import actions, live_actions, update_policy
from cell_reconciler.kinds.virtual_machine.admission import Admission
from cell_reconciler.model.change import Change, Outcome, Plan
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.node import Cpu, Load, Overcommit
from cell_reconciler.planning import Policy, make_plan
from tests.guests import Guest, files
from tests.kinds.vm.make import LAB, carry_out, planned, vm, world
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live


@pytest.fixture
def names(site: Site) -> Iterator[list[str]]:  # noqa: F811
    """Names of VMs that are removed afterwards."""
    made: list[str] = []
    yield made
    for name in made:
        site.doors.libvirt.destroy(name)
        site.doors.libvirt.undefine(name)


def _plan(site: Site, doc: Document, **overcommit: float) -> Change:  # noqa: F811
    return planned(doc, world(site.pool, doc, live=site.live(), overcommit={**LAB, **overcommit}))


def _start(change: Change) -> actions.Start:
    return next(step.action for step in change.steps if isinstance(step.action, actions.Start))


def test_the_facts_of_the_node_are_those_of_the_machine(site: Site) -> None:  # noqa: F811
    node = site.doors.libvirt.node()
    assert node is not None
    said = site.lab.exec(["virsh", "nodeinfo"], check=True).stdout
    words = {line.split(":")[0]: line.split(":")[1].split()[0] for line in said.splitlines() if ":" in line}
    assert node.threads == int(words["CPU(s)"])
    assert node.cores == node.threads // int(words["Thread(s) per core"])
    assert abs(node.memory // 1024 - int(words["Memory size"])) < 1024
    assert node.vcpus("qemu", "q35") == 288
    assert node.vcpus("qemu", "pc") == node.vcpus("qemu", "pc-i440fx-7.2") == 255
    tcg = node.types["qemu"]
    assert tcg.cpu is not None
    assert tcg.cpu.model in (*tcg.usable, *tcg.unusable)
    assert {"sse4.2", "aes"} <= set(tcg.provides)
    assert "no-such-cpu" not in tcg.usable


def test_what_runs_counts_before_a_start_whoever_made_it(site: Site, names: list[str]) -> None:  # noqa: F811
    """Planned with room; then somebody starts another VM."""
    names += ["room", "other"]
    node = site.doors.libvirt.node()
    assert node is not None
    running = sum(site.doors.libvirt.loads().values(), Load())
    ratio = (running.vcpus + 3) / node.cores  # for three more vCPUs
    doc = vm("room", cpu={"cores": 2}, runStrategy="Manual")
    carry_out(_plan(site, doc), site.doors)
    change = _plan(site, vm("room", cpu={"cores": 2}), cpu=ratio)
    assert change.refused == ()
    text = f"<domain type='qemu'><name>other</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>{_OS}</domain>"
    site.doors.libvirt.define(text)
    site.doors.libvirt.start("other")
    with pytest.raises(Transient, match=r"needs 2 vCPUs; .* have .* of the .* that .* cores may carry"):
        _start(change).do(site.doors)
    assert [r.reason for r in _plan(site, vm("room", cpu={"cores": 2}), cpu=ratio).refused] == ["NoRoom"]
    assert site.state("room") == "shutoff"
    site.doors.libvirt.destroy("other")
    assert carry_out(_plan(site, vm("room", cpu={"cores": 2}), cpu=ratio), site.doors) == ["vm.start"]


_OS = "<os><type arch='x86_64' machine='q35'>hvm</type></os>"


def test_two_that_start_at_the_same_time_do_not_find_the_same_room(site: Site, names: list[str]) -> None:  # noqa: F811
    names += ["one", "two"]
    node = site.doors.libvirt.node()
    assert node is not None
    running = sum(site.doors.libvirt.loads().values(), Load())
    for name in names:
        carry_out(_plan(site, vm(name, runStrategy="Manual")), site.doors)
    admission = Admission("h1", "qemu", Overcommit(cpu=(running.vcpus + 1) / node.cores))
    said: dict[str, str] = {}

    def start(name: str) -> None:
        try:
            actions.Start(name, (), admission).do(site.doors)
        except Transient as error:
            said[name] = error.message

    threads = [threading.Thread(target=start, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(site.state(name) for name in names) == ["running", "shutoff"]
    assert len(said) == 1


def test_a_cpu_that_the_host_lacks_is_an_error_before_the_start_and_names_the_features(
    site: Site,  # noqa: F811
    names: list[str],
) -> None:
    names.append("cpu")
    lacking = {"mode": "custom", "model": "Westmere", "features": {"require": ["avx512f"]}}
    [refusal] = site.plan(vm("cpu", cpu=lacking)).refused
    assert (refusal.reason, "avx512f" in refusal.message) == ("CpuUnfit", True)
    [refusal] = site.plan(vm("cpu", cpu={"mode": "custom", "model": "Skylake-Server"})).refused
    assert "Skylake-Server" in refusal.message
    # Features that are taken away: only libvirt knows what of the model is left, and says it before the start.
    for cpu, missing in (
        (lacking, "avx512f"),
        ({"mode": "custom", "model": "Skylake-Server", "features": {"disable": ["pcid"]}}, "avx512f"),
        ({"features": {"require": ["avx512f"]}}, "avx512f"),
    ):
        carry_out(site.plan(vm("cpu", cpu=cpu, runStrategy="Manual")), site.doors)
        with pytest.raises(Refused, match=missing):
            actions.Start("cpu", (), Admission("h1", "qemu", Overcommit(cpu=1000, memory=100))).do(site.doors)
        assert site.state("cpu") == "shutoff"
    fits = {"mode": "custom", "model": "Skylake-Server", "features": {"disable": sorted(_unavailable(site))}}
    assert "vm.start" in carry_out(site.plan(vm("cpu", cpu=fits)), site.doors)


def _unavailable(site: Site) -> set[str]:  # noqa: F811
    said = site.doors.libvirt.unfit("qemu", "<cpu mode='custom'><model>Skylake-Server</model></cpu>")
    return set(said.partition("required features: ")[2].split(", "))


def test_a_vm_that_could_not_be_started_again_is_not_shut_down(site: Site, names: list[str]) -> None:  # noqa: F811
    names.append("stays")
    carry_out(site.plan(vm("stays", forceStop=True, shutdownTimeout="1s")), site.doors)
    now = {"forceStop": True, "shutdownTimeout": "1s", "updatePolicy": {"restart": "Now"}}
    bigger = vm("stays", cpu={"cores": 4}, **now)
    ratio = 3 / site.doors.libvirt.node().cores  # type: ignore[union-attr] # known: see above
    change = _plan(site, bigger, cpu=ratio)
    assert [r.reason for r in change.refused] == ["NoRoom"]
    assert [step.op for step in change.steps] == ["vm.redefine"]
    change = _plan(site, bigger)
    stop = next(step.action for step in change.steps if isinstance(step.action, actions.Stop))
    carry_out(msgspec.structs.replace(change, steps=change.steps[:1]), site.doors)
    tight = msgspec.structs.replace(stop, admission=Admission("h1", "qemu", Overcommit(cpu=ratio)))
    with pytest.raises(Transient, match="needs 4 vCPUs"):
        tight.do(site.doors)
    assert site.state("stays") == "running"


def test_what_a_running_vm_gets_more_is_asked_for_again(site: Site, names: list[str]) -> None:  # noqa: F811
    names.append("grows")
    carry_out(site.plan(vm("grows", cpu={"maxSockets": 4})), site.doors)
    change = site.plan(vm("grows", cpu={"sockets": 4, "maxSockets": 4}))
    plug = next(step.action for step in change.steps if isinstance(step.action, live_actions.Vcpus))
    ratio = 3 / site.doors.libvirt.node().cores  # type: ignore[union-attr] # known: see above
    tight = msgspec.structs.replace(plug, admission=Admission("h1", "qemu", Overcommit(cpu=ratio)))
    with pytest.raises(Transient, match="VM grows needs 4 vCPUs"):
        tight.do(site.doors)
    plug.do(site.doors)
    assert plug.done(site.doors)


def test_a_guest_that_reboots_comes_up_as_it_is_defined(site: Site, names: list[str]) -> None:  # noqa: F811
    """And one with nothing pending just reboots, in the same QEMU."""
    names.append("boots")
    where = site.lab.share / "boots"
    where.mkdir()
    spec: dict[str, Any] = {
        "memory": {"guest": "192MiB"},
        "boot": files(where),
        "updatePolicy": {"restart": "NextBoot"},
        "shutdownTimeout": "30s",
        "forceStop": True,
    }
    guest = Guest(site.lab, lambda: site.doors.libvirt.domain("boots"))
    site.converge(vm("boots", **spec))
    pid = site.qemu("boots")
    two = {**spec, "cpu": {"cores": 2}}
    assert site.converge(vm("boots", **two)) == ["vm.redefine", "vm.on-reboot"]
    change = site.plan(vm("boots", **two))
    assert "when its guest reboots" in change.notes[0]
    # Taken back, it is as it was; and the same once more.
    assert site.converge(vm("boots", **spec)) == ["vm.redefine", "vm.on-reboot"]
    assert update_policy.on_reboot(site.doors.libvirt.domain("boots").active) == "restart"  # type: ignore[union-attr]
    site.converge(vm("boots", **two))
    guest.sees(lambda report: report["cpus"] == 1, 120)
    site.lab.exec(["virsh", "send-key", "boots", "KEY_LEFTCTRL", "KEY_LEFTALT", "KEY_DELETE"], check=True)
    end = time.monotonic() + 30
    while site.state("boots") != "shutoff":
        assert time.monotonic() < end, "the guest rebooted in its old instance"
        time.sleep(0.2)
    assert carry_out(site.plan(vm("boots", **two)), site.doors) == ["vm.start"]
    assert site.plan(vm("boots", **two)).quiet
    assert update_policy.on_reboot(site.doors.libvirt.domain("boots").active) == "restart"  # type: ignore[union-attr]
    assert site.qemu("boots") != pid
    guest.sees(lambda report: report["cpus"] == 2, 120)


def test_the_lowest_common_cpu_is_libvirts_own(site: Site) -> None:  # noqa: F811
    old, new = Cpu(model="Westmere"), Cpu(model="Haswell-noTSX")
    assert site.doors.libvirt.baseline("x86_64", "qemu", [old, new]).model == "Westmere"
    whole = site.doors.libvirt.baseline("x86_64", "qemu", [old, new], whole=True)
    assert "aes" in whole.features


def test_a_lower_order_is_started_first_and_one_that_fails_holds_up_nobody(
    site: Site,  # noqa: F811
    names: list[str],
    tmp_path: Path,
) -> None:
    names += ["last", "broken", "first"]
    off = {"forceStop": True}
    docs = [
        vm("last", startOrder=3, **off),
        vm("broken", startOrder=2, boot={"kernel": "/no/such/kernel"}, **off),
        vm("first", startOrder=1, **off),
    ]
    around = site.world(*docs)
    plan = make_plan("h1", Loaded(documents=dict(around.documents)), around.live, Policy())
    ended: list[tuple[str, str]] = []

    def note(outcome: Outcome, plan: Plan) -> None:
        if outcome.op == "vm.start":
            ended.append((outcome.key.name, outcome.result.value))

    with Journal(tmp_path).open(plan) as journal:
        execute(plan, site.doors, journal, note)
    assert ended == [("first", "done"), ("broken", "failed"), ("last", "done")]


def test_a_guest_that_hangs_does_not_hold_up_the_count_nor_a_start(site: Site, names: list[str]) -> None:  # noqa: F811
    names += ["hangs", "starts"]
    carry_out(site.plan(vm("hangs", cpu={"cores": 2})), site.doors)
    pid = site.qemu("hangs")
    site.lab.exec(["kill", "-STOP", pid], check=True)
    try:
        begin = time.monotonic()
        assert site.doors.libvirt.loads()["hangs"] == Load(2, 128 * 2**20)
        assert time.monotonic() - begin < 5
        carry_out(site.plan(vm("starts")), site.doors)
        assert site.state("starts") == "running"
    finally:
        site.lab.exec(["kill", "-CONT", pid], check=True)
