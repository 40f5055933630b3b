"""The way back on a host with a kernel of its own: bonds, VLANs, a power cut in between, and ``cellctl boot`` after it.

The host is managed through eno1 and eno2 as a bond, VLAN 20 on it and br-MGMT on that. The change moves the bridge to
another bond of two other NICs. The state directory is on the disk that outlives the power cut, as the specs are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cell_reconciler.lab import Lab
from tests.labs import need

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(1500)]

CELLCTL = (sys.executable, "-m", "cell_reconciler.cli", "--host", "h1")
STATE = "/var/lib/cell-reconciler"
TIMEOUT = 15  # seconds until an unconfirmed change is undone; starting a program takes several under emulation
SPECS = """
apiVersion: cell/v1
kind: Reconciler
metadata: {name: settings}
spec: {confirmTimeout: %(timeout)ss, allow: cuts-management}
---
apiVersion: cell/v1
kind: Bond
metadata: {name: bond-MGMT}
spec: {members: [eno1, eno2]}
---
apiVersion: cell/v1
kind: Bond
metadata: {name: bond-NEW}
spec: {members: [ens1f0, ens1f1]}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-MGMT}
spec:
  uplink: %(uplink)s
  vlan: 20
  addresses: [10.9.0.2/24]
  routes: [{to: default, via: 10.9.0.1, metric: 100}]
"""
APPLY = ("apply", "--yes", "--format", "json")


class Booted:
    """The host and the other end of its cables, where VLAN 20 has the gateway."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.specs = lab.share / "specs"
        self.specs.mkdir(exist_ok=True)

    def gateway(self) -> None:
        script = """
        ip link add link switch name switch.20 type vlan id 20
        ip address add 10.9.0.1/24 dev switch.20
        ip link set switch.20 up
        """
        assert self.lab.in_switch(["sh", "-ec", script]).returncode == 0

    def declare(self, uplink: str) -> None:
        (self.specs / "net.yaml").write_text(SPECS % {"uplink": uplink, "timeout": TIMEOUT})

    def cellctl(self, *words: str, specs: bool = True) -> subprocess.CompletedProcess[Any]:
        argv = [*CELLCTL, *words, *(["-f", str(self.specs)] if specs else [])]
        return self.lab.exec(argv, timeout=180)

    def faulty(self, how: str, number: int, *more: str) -> list[str]:
        module = [sys.executable, "-m", "tests.live.fault_driver", how, str(number)]
        return [*module, "--host", "h1", *APPLY, *more, "-f", str(self.specs)]

    def reached(self) -> bool:
        """From the other side of the cable, as an operator's machine sees it."""
        return self.lab.in_switch(["ping", "-c", "1", "-W", "1", "10.9.0.2"]).returncode == 0

    def pending(self) -> bool:
        script = f"test -e {STATE}/pending.json || test -e {STATE}/reverting.json"
        return self.lab.exec(["sh", "-c", script], timeout=30).returncode == 0

    def port(self) -> str:
        """The port of br-MGMT that leads outside."""
        found = json.loads(self.lab.exec(["ip", "-j", "link"], timeout=30, check=True).stdout)
        return next((x["ifname"].split("@")[0] for x in found if x.get("master") == "br-MGMT"), "")

    def back(self, seconds: float) -> None:
        """It answers by the old way, within the deadline and what undoing takes here."""
        until(lambda: not self.pending() and self.reached(), seconds)
        assert self.port() == "bond-MGMT.20"
        route = self.lab.exec(["ip", "route", "show", "default"], timeout=30).stdout
        assert "via 10.9.0.1 dev br-MGMT" in route


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    need("namespace", "vm")
    with Lab.up(f"reboot-{os.getpid()}", kernel="vm", bound=True) as lab:
        host = Booted(lab)
        host.gateway()
        host.declare("bond-MGMT")
        done = host.cellctl(*APPLY)
        assert done.returncode == 0, done.stdout + done.stderr
        until(host.reached, 20)
        yield host


@pytest.fixture
def host(booted: Booted) -> Booted:
    """Managed by bond-MGMT; the specs say bond-NEW."""
    until(booted.reached, 30)
    assert booted.port() == "bond-MGMT.20"
    booted.declare("bond-NEW")
    return booted


@pytest.fixture(scope="module")
def calls(booted: Booted) -> int:
    """How many writing calls the change takes: made once, confirmed by the probes, and made back."""
    counts = []
    for uplink in ("bond-NEW", "bond-MGMT"):
        booted.declare(uplink)
        done = booted.cellctl(*APPLY)
        assert done.returncode == 0, done.stdout + done.stderr
        assert booted.port() == f"{uplink}.20"
        counts.append(json.loads(done.stdout)["summary"]["writingCalls"])
    assert counts[0] >= 5
    return int(counts[0])


def test_it_is_killed_in_the_middle_of_the_change(host: Booted, calls: int) -> None:
    """Killed at every call, and each of them failing: ``inside/test_network_way_back.py``."""
    done = host.lab.exec(host.faulty("kill", calls // 2), timeout=180)
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    host.back(TIMEOUT + 60)


def test_cables_pulled_right_after_the_change(host: Booted) -> None:
    apply = host.lab.popen(host.faulty("stop", 0), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: host.port() == "bond-NEW.20" and bool(stopped(host)), 90)
        for nic in ("ens1f0", "ens1f1"):
            host.lab.cable(nic, False)
        host.lab.exec(["kill", "-CONT", *stopped(host)], timeout=30, check=True)
        assert apply.wait(120) == 7, apply.communicate()
        host.back(TIMEOUT + 60)
    finally:
        for nic in ("ens1f0", "ens1f1"):
            host.lab.cable(nic, True)


def stopped(host: Booted) -> list[str]:
    """Ids, in the host, of the driver that waits for SIGCONT."""
    rows = host.lab.exec(["ps", "-eo", "pid,stat,args"], timeout=30, check=True).stdout.splitlines()
    found = [row.split(maxsplit=2) for row in rows if "tests.live.fault_driver" in row]
    return [pid for pid, state, _ in found if state.startswith("T")]


def reboot(host: Booted) -> None:
    """The power is cut, and the host comes back with what is on its disk; then its init runs the unit."""
    host.lab.power_off()
    host.lab.power_on()
    host.gateway()
    assert host.port() == ""
    done = host.cellctl("boot", specs=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the last confirmed network is back" in done.stdout


def test_the_power_is_cut_while_an_operator_has_still_to_confirm(host: Booted) -> None:
    done = host.cellctl(*APPLY, "--confirm-timeout", "30m")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.port() == "bond-NEW.20"
    reboot(host)
    host.back(20)
    again = host.cellctl("boot", "--format", "json", specs=False)
    assert {one["result"] for one in json.loads(again.stdout)["resources"]} == {"unchanged"}
    assert host.cellctl("commit", specs=False).returncode == 6


def test_the_power_is_cut_in_the_middle_of_the_change(host: Booted, calls: int) -> None:
    host.lab.exec(host.faulty("kill", calls // 2, "--confirm-timeout", "30m"), timeout=180)
    assert host.pending()
    reboot(host)
    host.back(20)
