"""CPUs and memory of running VMs: what the kernel, libvirt and a real guest make of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.model.change import Change
from tests.guests import Guest, files
from tests.kinds.vm.make import carry_out, planned, vm, world
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

OFF = {"shutdownTimeout": "1s", "forceStop": True}


@pytest.fixture
def tuned(site: Site) -> Iterator[Site]:  # noqa: F811
    yield site
    site.doors.libvirt.destroy("tuned")
    site.doors.libvirt.undefine("tuned")


def tree(site: Site, which: str) -> Any:  # noqa: F811
    domain = site.doors.libvirt.domain("tuned")
    assert domain is not None
    return xml.parse(getattr(domain, which) or "")


def pending(change: Change) -> list[str]:
    return [field.path for field in change.pending]


# -- memory --------------------------------------------------------------------------------------------------------


def test_a_guest_sees_memory_come_and_go(tuned: Site) -> None:
    where = tuned.lab.share / "tuned"
    where.mkdir()
    spec: dict[str, Any] = {"boot": files(where), "shutdownTimeout": "60s"}
    guest = Guest(tuned.lab, lambda: tuned.doors.libvirt.domain("tuned"))

    def doc(**memory: str) -> Any:
        return vm("tuned", **spec, memory={"maxGuest": "1GiB", **memory})

    tuned.converge(doc(guest="512MiB"))
    first = guest.sees(lambda report: report["cpus"] == 1, 120)["memory"]
    pid = tuned.qemu("tuned")
    assert tuned.converge(doc(guest="512MiB", current="448MiB")) == ["vm.redefine", "vm.balloon"]
    guest.sees(lambda report: report["memory"] == first - 64 * 1024)
    assert tuned.plan(doc(guest="512MiB", current="448MiB")).quiet

    grown = doc(guest="640MiB", current="448MiB")
    assert tuned.converge(grown) == ["vm.redefine", "vm.memory", "vm.balloon"]
    guest.sees(lambda report: abs(report["memory"] - first + 64 * 1024) < 8 * 1024)  # its own tables grew
    assert tuned.plan(grown).quiet

    assert tuned.converge(doc(guest="640MiB")) == ["vm.redefine", "vm.balloon"]
    guest.sees(lambda report: abs(report["memory"] - first - 128 * 1024) < 8 * 1024)
    assert tuned.qemu("tuned") == pid


def test_whatever_the_memory_becomes_both_copies_say_so(tuned: Site) -> None:
    """Growths live where they can be, pending where not; and a restart keeps the total, whatever came before it."""
    draw = random.Random(9)
    tuned.converge(vm("tuned", **OFF, memory={"guest": "256MiB", "maxGuest": "2GiB"}))
    total = running = 256
    for _ in range(14):
        size = draw.choice([total + 128, total + 256, total + 100, max(total - 128, 64), total])
        size = min(size, 2048)
        cells = tree(tuned, "inactive").findall("cpu/numa/cell")
        assert len(cells) == 1, "nobody declared one"
        restart = draw.choice(["Never", "Never", "Never", "Now"])
        memory = {"guest": f"{size}MiB", "maxGuest": "2GiB"}
        doc = vm("tuned", **OFF, memory=memory, updatePolicy={"restart": restart})
        live = size > running and (size - running) % 128 == 0
        ops = tuned.converge(doc)
        assert ("vm.memory" in ops) == live
        restarts = size != running and not live and restart == "Now"
        assert ("vm.start" in ops) == restarts
        running = size if live or restarts else running
        total = size
        assert pending(tuned.plan(doc)) == ([] if running == size else ["spec.memory.guest"])
        assert [int(tree(tuned, which).findtext("memory")) for which in ("inactive", "active")] == [
            total * 1024,
            running * 1024,
        ]


def test_a_module_has_one_slot_in_both_copies(tuned: Site) -> None:
    cells = [{"cell": 0, "cpus": 0, "memory": "128MiB"}, {"cell": 1, "cpus": 1, "memory": "256MiB", "hostNodes": 0}]
    cpu = {"sockets": 2, "numa": {"cells": cells}}

    def doc(size: str) -> Any:
        return vm("tuned", **OFF, cpu=cpu, memory={"guest": size, "maxGuest": "1GiB"})

    tuned.converge(doc("384MiB"))
    for size in ("512MiB", "768MiB"):
        assert tuned.converge(doc(size)) == ["vm.redefine", "vm.memory"]
    found = {
        which: [(m.findtext("target/node"), m.findtext("target/size"), m.find("address").get("slot")) for m in modules]
        for which in ("inactive", "active")
        if (modules := tree(tuned, which).findall("devices/memory"))
    }
    assert found["inactive"] == found["active"] == [("0", "131072", "0"), ("0", "262144", "1")]


def test_memory_of_cells_is_restricted_to_nodes_of_the_host(tuned: Site) -> None:
    def doc(mode: str) -> Any:
        cells = [{"cell": n, "cpus": n, "memory": "64MiB", "hostNodes": 0, "mode": mode} for n in (0, 1)]
        return vm("tuned", **OFF, cpu={"sockets": 2, "numa": {"cells": cells}})

    assert tuned.converge(doc("restrictive")) == ["vm.define", "vm.start"]
    assert tuned.plan(doc("restrictive")).quiet
    pid = tuned.qemu("tuned")
    assert "host-nodes" not in argv(tuned), "the cgroup alone says where its memory is"
    assert tuned.converge(doc("strict")) == ["vm.redefine"]
    assert pending(tuned.plan(doc("strict"))) == [f"spec.cpu.numa.cells[{n}].mode" for n in (0, 1)]
    assert tuned.qemu("tuned") == pid
    tuned.doors.libvirt.destroy("tuned")
    assert tuned.converge(doc("strict")) == ["vm.start"]
    assert argv(tuned).count('"host-nodes":[0],"policy":"bind"') == 2


def argv(site: Site) -> str:  # noqa: F811
    """What QEMU was told."""
    return str(site.lab.exec(["cat", f"/proc/{site.qemu('tuned')}/cmdline"], check=True).stdout)


def test_an_interrupted_growth_is_made_good_by_the_next(tuned: Site) -> None:
    def doc(size: str) -> Any:
        return vm("tuned", **OFF, memory={"guest": size, "maxGuest": "1GiB"})

    tuned.converge(doc("128MiB"))
    tuned.plan(doc("256MiB")).steps[0].action.do(tuned.doors)  # and here the reconciler is killed
    assert tuned.converge(doc("512MiB")) == ["vm.redefine", "vm.memory"]
    assert tuned.plan(doc("512MiB")).quiet


# -- CPUs ----------------------------------------------------------------------------------------------------------


def test_threads_run_where_they_are_pinned_and_everywhere_again(tuned: Site) -> None:
    base: dict[str, Any] = {**OFF, "ioThreads": 1}

    def doc(**pinning: Any) -> Any:
        return vm("tuned", **base, cpu={"cores": 2, "pinning": pinning})

    everywhere = tuned.doors.libvirt.observe()["cpus"].online
    last = everywhere.split(",")[-1].split("-")[-1]
    tuned.converge(doc())
    assert tuned.converge(doc(cpuset=0, vcpus=[{"vcpu": 1, "cpuset": last}])) == ["vm.redefine", "vm.pin"]
    assert allowed(tuned) == {"CPU 0/TCG": "0", "CPU 1/TCG": last, "IO iothread1": "0", "emulator": "0"}
    assert tuned.plan(doc(cpuset=0, vcpus=[{"vcpu": 1, "cpuset": last}])).quiet
    assert tuned.converge(doc(emulator=last, ioThreads=[{"ioThread": 1, "cpuset": 0}])) == ["vm.redefine", "vm.pin"]
    assert allowed(tuned) == {
        "CPU 0/TCG": everywhere,
        "CPU 1/TCG": everywhere,
        "IO iothread1": "0",
        "emulator": last,
    }
    assert tuned.converge(doc()) == ["vm.redefine", "vm.pin"]
    assert set(allowed(tuned).values()) == {everywhere}
    assert tuned.plan(doc()).quiet


def allowed(site: Site) -> dict[str, str]:  # noqa: F811
    """Where the kernel lets the threads of QEMU run: vCPUs, I/O threads, and the one that libvirt calls emulator."""
    script = (
        'for task in /proc/$1/task/*; do [ "${task##*/}" = $1 ] && echo emulator || cat "$task/comm"; '
        'sed -n "s/^Cpus_allowed_list:.//p" "$task/status"; done'
    )
    said = site.lab.exec(["sh", "-c", script, "sh", site.qemu("tuned")], check=True).stdout.splitlines()
    found = dict(zip(said[::2], said[1::2], strict=True))
    return {name: cpus for name, cpus in found.items() if name.startswith(("CPU", "IO iothread", "emulator"))}


def test_a_cpu_that_the_host_does_not_have_is_refused(tuned: Site) -> None:
    change = tuned.plan(vm("tuned", cpu={"pinning": {"cpuset": "0,9999"}}))
    assert [(r.reason, "9999" in r.message) for r in change.refused] == [("NoSuchCpu", True)]
    assert change.steps == ()


def test_without_a_cgroup_shares_and_limit_are_an_error_that_says_why(tuned: Site) -> None:
    """libvirt starts a VM with shares as if they counted for something; one with a limit it does not start."""
    tuned.converge(vm("tuned", **OFF))
    doc = vm("tuned", **OFF, cpu={"shares": 500}, description="new")
    with pytest.raises(StepFailed, match="cgroup CPU controller is not mounted") as error:
        carry_out(tuned.plan(doc), tuned.doors)
    assert "cgroup_controllers" in error.value.advice
    assert [f.path for f in tuned.plan(doc).fields] == ["spec.cpu.shares"], "and the rest was done"
    tuned.doors.libvirt.destroy("tuned")
    assert carry_out(tuned.plan(doc), tuned.doors) == ["vm.start"]
    change = tuned.plan(doc)
    assert ([f.path for f in change.fields], change.pending) == (["spec.cpu.shares"], ())
    assert tuned.converge(vm("tuned", **OFF)) == ["vm.redefine", "vm.describe"]
    tuned.doors.libvirt.destroy("tuned")
    with pytest.raises(StepFailed, match="cgroup cpu is required") as error:
        carry_out(tuned.plan(vm("tuned", **OFF, cpu={"limit": 2})), tuned.doors)
    assert "cgroup_controllers" in error.value.advice


def test_more_than_255_vcpus_have_the_board_for_it_and_only_then(tuned: Site) -> None:
    """Started where there is a KVM: without, QEMU 7.2 wants the kernel's irqchip and its X2APIC API."""

    def doc(sockets: int) -> Any:
        return vm("tuned", cpu={"cores": 2, "sockets": 1, "maxSockets": sockets}, runStrategy="Manual")

    tuned.converge(doc(144))
    root = tree(tuned, "inactive")
    assert root.findtext("vcpu") == "288"
    assert dict(root.find("devices/iommu/driver").attrib) == {"intremap": "on", "eim": "on"}
    assert root.find("features/ioapic").get("driver") == "qemu"
    assert tuned.converge(doc(100)) == ["vm.redefine"]
    root = tree(tuned, "inactive")
    assert root.find("devices/iommu") is None
    assert root.find("features/ioapic") is None
    assert tuned.converge(doc(144)) == ["vm.redefine"]
    tuned.remove("tuned")
    if Path("/dev/kvm").exists():
        big = vm("tuned", **OFF, cpu={"sockets": 288, "mode": "custom", "model": "pentium3"})  # which any KVM has
        carry_out(planned(big, world(tuned.pool, big, domain_type="kvm")), tuned.doors)
        root = tree(tuned, "active")
        assert (root.get("type"), root.findtext("vcpu"), tuned.state("tuned")) == ("kvm", "288", "running")
