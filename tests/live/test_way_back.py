"""Promise 7 on a real kernel: a change on the management path is confirmed by probes, or undone by itself."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.live.hosts import CELLCTL, text
from tests.live.managed import Managed, same, until

pytestmark = pytest.mark.live

CUTS = {
    "uplink without carrier": {"uplink": "eno2"},
    "another subnet": {"address": "10.10.0.2/24"},
}


@pytest.mark.parametrize("change", CUTS.values(), ids=CUTS)
def test_is_refused_without_permission(host: Managed, change: dict[str, str]) -> None:
    before = host.links()
    host.declare(**change)
    assert "cuts-management" in host.apply(code=6)
    assert host.links() == before
    assert not host.pending


@pytest.mark.parametrize("change", CUTS.values(), ids=CUTS)
def test_is_undone_when_the_probes_fail(host: Managed, change: dict[str, str]) -> None:
    before = host.links()
    host.declare(**change)
    said = host.cut(7)
    assert "rolled back" in said
    same(host, before)
    assert host.answers()
    assert not host.pending
    assert not host.guards()
    assert "RolledBack" in host.cellctl_status("get", "Bridge/br-MGMT", "-o", "json")


def test_a_first_bridge_gives_the_nic_back_its_address_and_routes(nic: Managed) -> None:
    before = nic.links()
    nic.declare(stp="true")  # forwards after 30 s: too late
    assert "rolled back" in nic.cut(7)
    same(nic, before)
    assert nic.answers()
    assert not nic.pending


def test_is_confirmed_when_the_probes_pass(host: Managed) -> None:
    host.lab.cable("eno2", True)
    try:
        host.declare(uplink="eno2")
        host.cut(0)
        assert not host.pending
        assert not host.guards()
        assert host.cellctl("diff", "--exit-code").returncode == 0
        time.sleep(5)  # beyond the deadline
        assert host.cellctl("diff", "--exit-code").returncode == 0
        assert "br-MGMT" in host.sh("ip", "link", "show", "eno2")
    finally:
        host.lab.cable("eno2", False)


@pytest.mark.parametrize("writes", [1, 2, 3, 4])
def test_is_undone_when_the_process_is_killed_after_a_write(host: Managed, writes: int) -> None:
    before = host.links()
    host.declare(uplink="eno2")
    code = host.killed_before_write(writes, "apply", "--yes", "--allow", "cuts-management")
    assert code in (-signal.SIGKILL, 128 + signal.SIGKILL), "fewer writing calls than the test assumes"
    assert host.pending
    assert host.links() != before
    undone_by_the_guard(host, before)


def test_is_undone_when_the_process_is_killed_while_it_probes(host: Managed) -> None:
    before = host.links()
    host.declare(uplink="eno2")
    apply = host.lab.popen([*CELLCTL, *host.argv("apply", "--yes", "--allow", "cuts-management")])
    until(lambda: "master br-MGMT" in host.sh("ip", "link", "show", "eno2"), 20)
    time.sleep(0.5)
    apply.kill()
    apply.wait()
    assert host.pending
    undone_by_the_guard(host, before)


def undone_by_the_guard(host: Managed, before: Any) -> None:
    """And a later apply has nothing to put right."""
    until(lambda: not host.pending, 10)
    same(host, before)
    assert host.answers()
    assert "undone by the guard" in host.cellctl_status("events")
    host.declare()
    host.apply(code=0)
    same(host, before)


def test_is_refused_when_nothing_could_confirm_it(host: Managed) -> None:
    host.sh("ip", "route", "del", "default")
    before = host.links()
    host.declare(uplink="eno2", gateway="10.9.0.99")
    assert "no probe passes" in host.cut(6)
    assert host.links() == before
    assert not host.pending


def test_a_gateway_that_is_reached_another_way_confirms_nothing(host: Managed) -> None:
    """It answers whatever becomes of the management path."""
    host.sh("ip", "route", "del", "default")
    host.sh("ip", "link", "set", "ens1f0", "up")
    host.sh("ip", "address", "replace", "10.8.0.2/24", "dev", "ens1f0")
    host.lab.in_switch(["ip", "address", "replace", "10.8.0.1/24", "dev", "switch"])
    try:
        host.sh("ip", "route", "add", "default", "via", "10.8.0.1", "dev", "ens1f0")
        before = host.links()
        host.declare(uplink="eno2", gateway="10.9.0.99")
        assert "none of the probes that pass (gateway 10.8.0.1, gateway 10.8.0.1 (ARP)) goes by br-MGMT" in host.cut(6)
        assert host.links() == before
    finally:
        host.sh("ip", "link", "set", "ens1f0", "down")
        host.sh("ip", "address", "flush", "dev", "ens1f0")


def test_a_gateway_that_drops_icmp_confirms_by_arp(host: Managed) -> None:
    host.lab.cable("eno2", True)
    host.lab.in_switch(["sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"])
    try:
        host.declare(uplink="eno2", gateway="10.9.0.99")
        host.cut(0)
        assert "br-MGMT" in host.sh("ip", "link", "show", "eno2")
    finally:
        host.lab.in_switch(["sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0"])
        host.lab.cable("eno2", False)


def test_the_next_run_undoes_it_when_the_guard_died_too(host: Managed) -> None:
    before = host.links()
    host.declare(uplink="eno2", timeout="60s")
    host.killed_before_write(3, "apply", "--yes", "--allow", "cuts-management")
    (guard,) = host.guards()
    os.kill(guard, signal.SIGKILL)
    host.declare()
    assert "rolled back" in host.apply(code=0)
    assert not host.pending
    same(host, before)


def test_the_next_run_need_not_wait_for_the_guard_of_a_dead_process(host: Managed) -> None:
    before = host.links()
    host.declare(uplink="eno2", timeout="60s")
    host.killed_before_write(3, "apply", "--yes", "--allow", "cuts-management")
    host.declare()
    assert "rolled back" in text(host.cellctl("run", "--once").stderr)
    same(host, before)
    until(lambda: not host.guards(), 5)


def test_nobody_else_applies_meanwhile_and_the_guard_outlives_its_session(host: Managed) -> None:
    before = host.links()
    host.declare(uplink="eno2", timeout="5s")
    argv = host.argv("apply", "--yes", "--allow", "cuts-management")
    first = host.lab.popen([*CELLCTL, *argv])
    until(lambda: "master br-MGMT" in host.sh("ip", "link", "show", "eno2"), 20)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        os.kill(host.guards()[0], number)
    assert "is being reconciled by cellctl apply" in host.apply(code=6)
    assert host.guards()
    assert first.wait(60) == 7
    same(host, before)
