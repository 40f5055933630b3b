"""Whatever goes wrong at whichever step of a change of the management path: the host answers again, every time.

The change: the NIC that carries the address and the default route becomes the port of a bridge that takes over both.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.live.managed import Managed, same, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

TIMEOUT = 4  # seconds until an unconfirmed change is undone
SPEC = """
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-MGMT}
spec:
  uplink: eno1
  addresses: [10.9.0.2/24, "fd09::2/64"]
  routes:
  - {to: default, via: 10.9.0.1, metric: 100}
  - {to: 10.30.0.0/16, via: 10.9.0.9}
  rules: [{from: 10.9.0.2, table: 100, priority: 1000}]
"""
APPLY = ("apply", "--yes", "--allow", "cuts-management", "--format", "json")


def faulty(host: Managed, how: str, number: int) -> subprocess.CompletedProcess[Any]:
    argv = [sys.executable, "-m", "tests.live.fault_driver", how, str(number), *host.argv(*APPLY)]
    return host.lab.exec(argv, timeout=60)


def declared(nic: Managed) -> Managed:
    nic.declare(timeout="60s")
    nic.write("bridge.yaml", SPEC)
    return nic


def reached(host: Managed) -> bool:
    """From the other side of the cable, as an operator's machine sees it."""
    return host.lab.in_switch(["ping", "-c", "1", "-W", "1", "10.9.0.2"]).returncode == 0


def whole(host: Managed) -> int:
    """Make the change; how many writing calls it takes."""
    done = host.lab.exec([sys.executable, "-m", "cell_reconciler.cli", *host.argv(*APPLY)], timeout=60)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["summary"]["writingCalls"])


@pytest.fixture
def calls(nic: Managed) -> int:
    """Makes the change once, to know how long it is, and begins anew."""
    count = whole(declared(nic))
    assert count >= 10
    anew(nic)
    return count


def anew(host: Managed) -> None:
    """Managed by the NIC itself, with specs and without a bridge."""
    until(lambda: not host.guards(), 15)
    host.wipe()
    host.lab.exec(["ip", "rule", "del", "priority", "1000"])
    host.lab.exec(["ip", "address", "flush", "dev", "eno1", "scope", "global"])
    host.sh("ip", "link", "set", "eno1", "up")
    host.sh("ip", "address", "add", "10.9.0.2/24", "brd", "+", "dev", "eno1")
    host.sh("ip", "route", "replace", "default", "via", "10.9.0.1", "metric", "100")
    until(lambda: reached(host), 10)
    declared(host)


def back(host: Managed, before: Any, since: float, what: str) -> None:
    """It answers, as before, soon after the deadline at the latest; and nothing is left over."""
    until(lambda: not host.pending and reached(host), since + TIMEOUT + 15 - time.monotonic())
    same(host, before)
    until(lambda: not host.guards(), 10)
    assert not host.pending, what


@pytest.mark.parametrize("how", ["kill", "fail", "fail-from"])
def test_at_every_writing_call(nic: Managed, calls: int, how: str) -> None:
    """What fails is undone at once; what is killed, at the deadline."""
    nic.declare(timeout="60s" if how == "fail" else f"{TIMEOUT}s")
    nic.write("bridge.yaml", SPEC)
    before = nic.links()
    for number in range(calls):
        what = f"{how} at call {number} of {calls}"
        done = faulty(nic, how, number)
        ended = time.monotonic()  # the deadline was counted from a moment before
        if "there was no time left" not in done.stderr:  # on a machine that is busy with other things
            assert how == "kill" or "injected" in done.stderr, f"{what}: {done.stdout}{done.stderr}"
            killed = (-signal.SIGKILL, 128 + signal.SIGKILL)
            assert done.returncode in (killed if how == "kill" else (1, 7)), f"{what}: {done.stderr}"
        back(nic, before, ended, what)
    assert whole(nic) == calls, "and without a fault it is made"
    assert reached(nic)


def test_a_cable_pulled_right_after_the_change(host: Managed) -> None:
    """The bridge moves to the other NIC, whose cable is fine until then."""
    host.lab.cable("eno2", True)
    try:
        host.declare(uplink="eno2", timeout=f"{TIMEOUT}s")
        before, started = host.links(), time.monotonic()
        argv = [sys.executable, "-m", "tests.live.fault_driver", "stop", "0", *host.argv(*APPLY)]
        apply = host.lab.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: any(stopped(pid) for pid in processes("tests.live.fault_driver", str(host.state))), 20)
        assert "master br-MGMT" in host.sh("ip", "link", "show", "eno2")
        host.lab.cable("eno2", False)
        for pid in processes("tests.live.fault_driver", str(host.state)):
            os.kill(pid, signal.SIGCONT)
        assert apply.wait(30) == 7, apply.communicate()
        back(host, before, started, "cable")
    finally:
        host.lab.cable("eno2", False)


def processes(*words: str) -> list[int]:
    """Ids of processes of this machine whose command line has all of these words."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                    line = file.read().split(b"\0")
            except OSError:
                continue
            if (
                line[0].endswith(b"python")
                and all(word.encode() in line for word in words)
                and b"nsrun.py" not in line[3]
            ):
                found.append(int(entry.name))
    return found


def stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False
