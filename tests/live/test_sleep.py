"""The lock against sleep, against a real systemd-logind on a bus of its own in the lab, as ``run`` holds it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cell_reconciler.lab import Lab
from tests.live.run_host import BASE, RunHost, vm, within

pytestmark = pytest.mark.live
BUS = "exec dbus-daemon --system --nofork --nopidfile"
QUIET = subprocess.DEVNULL
LOGIND = """
mkdir -p /run/systemd /run/udev
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done
exec /lib/systemd/systemd-logind
"""
NO_LOGIND = "the host may be suspended while VMs run"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(name="sleep", kernel="namespace", nics=("eth0", "eth1"), bound=True) as lab:
        yield lab


@pytest.fixture
def host(lab: Lab) -> Iterator[RunHost]:
    made = RunHost(lab)
    yield made
    made.clean()


@pytest.fixture
def logind(host: RunHost) -> Iterator[None]:
    """A logind on the lab's own bus; both end with the test."""
    host.sh("sh", "-c", "mkdir -p /run/dbus && rm -f /run/dbus/*")
    started = [host.lab.popen(["sh", "-ec", script], stdout=QUIET, stderr=QUIET) for script in (BUS, LOGIND)]
    within(20, lambda: host.lab.exec(["systemd-inhibit", "--list", "--no-pager"], timeout=20).returncode == 0)
    yield
    for daemon in reversed(started):
        daemon.kill()
        daemon.wait(20)


def locks(host: RunHost) -> list[str]:
    return [
        line for line in host.sh("systemd-inhibit", "--list", "--no-pager").splitlines() if "cell-reconciler" in line
    ]


def events(host: RunHost) -> list[str]:
    """What the log tells."""
    return [str(line.get("event")) for line in host.lines()]


def doctor(host: RunHost) -> dict[str, str]:
    found = json.loads(host.cellctl("doctor", "--format", "json").stdout)["checks"]
    return next(check for check in found if check["name"] == "sleep")  # type: ignore[no-any-return]


def test_it_is_held_while_a_vm_runs_and_let_go_with_the_last_one(host: RunHost, logind: Any) -> None:
    host.write("base.yaml", BASE)
    host.start()
    assert locks(host) == []
    host.write("vm.yaml", vm("web").replace("Always", "Once"))
    within(20, lambda: host.domain_state("web") == "running")
    within(10, lambda: bool(locks(host)))
    (line,) = locks(host)
    assert " sleep " in line
    assert line.rstrip().endswith(" block")
    assert doctor(host)["message"] == "inhibited while VMs run"
    assert "sleep is inhibited while VMs run" in events(host)
    host.sh("virsh", "destroy", "web")
    within(10, lambda: locks(host) == [])


def test_it_ends_with_the_process_however_that_ends(host: RunHost, logind: Any) -> None:
    host.write("base.yaml", BASE + "---" + vm("web"))
    host.start()
    within(30, lambda: bool(locks(host)))
    assert host.daemon
    host.daemon.kill()
    host.daemon.wait(20)
    within(10, lambda: locks(host) == [])
    assert doctor(host)["result"] == "warn", "a VM runs, and nobody holds the lock"
    host.start()
    within(30, lambda: bool(locks(host)))
    assert host.stop() == 0
    within(10, lambda: locks(host) == [])


def test_a_lock_that_was_lost_is_taken_again(host: RunHost, logind: Any) -> None:
    host.write("base.yaml", BASE + "---" + vm("web"))
    host.start()
    within(30, lambda: bool(locks(host)))
    host.sh("kill", locks(host)[0].split()[3])
    within(10, lambda: locks(host) == [])
    within(20, lambda: bool(locks(host)))


def test_without_logind_nothing_fails_and_it_is_said_once(host: RunHost) -> None:
    host.write("base.yaml", BASE + "---" + vm("web"))
    host.start()
    within(30, lambda: host.domain_state("web") == "running")
    within(20, lambda: NO_LOGIND in events(host))
    time.sleep(6)  # it is tried again meanwhile
    assert events(host).count(NO_LOGIND) == 1
    assert doctor(host)["result"] == "warn"
    assert host.stop() == 0
