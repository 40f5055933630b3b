"""Filters and bandwidth on a real libvirtd: the rules of a filter come and go, and a kernel that cannot limit says so.

That limits really count is shown on a kernel that has them: ``tests/kernel/inside/test_vm_bandwidth``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cell_reconciler.errors import StepFailed
from cell_reconciler.model.document import Document
from tests.kinds.vm.make import carry_out, vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

LAN: dict[str, Any] = {"name": "lan", "bridge": "br-VM"}


def document(**fields: Any) -> Document:
    return vm("traffic", interfaces=[{**LAN, **fields}], shutdownTimeout="1s", forceStop=True)


@pytest.fixture
def running(site: Site) -> Iterator[Site]:  # noqa: F811
    site.converge(document())
    yield site
    site.doors.libvirt.destroy("traffic")
    site.doors.libvirt.undefine("traffic")


def rules(site: Site) -> str:  # noqa: F811
    return str(site.lab.exec(["ebtables", "-t", "nat", "-L"], check=True).stdout)


def test_the_rules_of_a_filter_come_and_go_while_the_vm_runs(running: Site) -> None:
    pid = running.qemu("traffic")
    assert "vnet" not in rules(running)
    first = document(filter={"name": "clean-traffic", "parameters": {"IP": ["10.0.0.5", "10.0.0.6"]}})
    assert running.converge(first) == ["vm.redefine", "vm.filter"]
    assert "10.0.0.5" in rules(running)
    assert "10.0.0.6" in rules(running)
    second = document(filter={"name": "clean-traffic", "parameters": {"IP": ["10.0.0.7"]}})
    assert running.converge(second) == ["vm.redefine", "vm.filter"]
    assert "10.0.0.5" not in rules(running)
    assert "10.0.0.7" in rules(running)
    assert running.converge(document()) == ["vm.redefine", "vm.filter"]
    assert "vnet" not in rules(running)
    assert running.qemu("traffic") == pid


def test_a_filter_that_is_not_there_is_known_before_anything_is_done(running: Site) -> None:
    before = running.doors.writes.total
    change = running.plan(document(filter={"name": "no-such-filter"}))
    assert [refusal.reason for refusal in change.refused] == ["UnknownFilter"]
    assert carry_out(change, running.doors) == []
    assert running.doors.writes.total == before


def test_bandwidth_counts_or_it_is_said_what_the_kernel_lacks(running: Site) -> None:
    pid = running.qemu("traffic")
    limited = document(bandwidth={"inbound": {"average": 1000}})
    running.lab.exec(["ip", "link", "add", "probe", "type", "bridge"], check=True)
    able = running.lab.exec(["tc", "qdisc", "add", "dev", "probe", "root", "sfq"]).returncode == 0
    running.lab.exec(["ip", "link", "del", "probe"], check=True)
    if able:
        assert running.converge(limited) == ["vm.redefine", "vm.bandwidth"]
    else:
        with pytest.raises(StepFailed, match="tc qdisc") as failed:
            carry_out(running.plan(limited), running.doors)
        assert "sch_sfq" in failed.value.advice
        assert [step.op for step in running.plan(limited).steps] == ["vm.bandwidth"], "defined; tried again next time"
        running.doors.libvirt.destroy("traffic")
        with pytest.raises(StepFailed, match="tc qdisc") as failed:
            carry_out(running.plan(limited), running.doors)
        assert "sch_sfq" in failed.value.advice
        return
    assert running.converge(document()) == ["vm.redefine", "vm.bandwidth"]
    assert running.qemu("traffic") == pid
