"""``cellctl boot``: the last confirmed network comes back from one file, whatever else is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.live.hosts import CELLCTL
from tests.live.managed import Managed, same, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

NETWORK = """
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-MGMT}
spec:
  uplink: eno1
  addresses: [10.9.0.2/24]
  routes: [{to: default, via: 10.9.0.1, metric: 100}]
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-VM}
spec: {uplink: ens1f0}
"""
OTHER = NETWORK.replace("10.9.0.", "10.10.0.")
# Everything but the kernel: no libvirt, no Ceph, no XML, no YAML, no log or file events.
ALONE = """
import sys
for name in ("libvirt", "rbd", "rados", "lxml", "watchdog", "structlog", "yaml", "jsonschema"):
    sys.modules[name] = None
from cell_reconciler.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
# One thing can never be done to br-MGMT.
BROKEN = """
import sys
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.errors import StepFailed
call, sys.argv = sys.argv[1], sys.argv[1:]
works = getattr(NetlinkDoor, call)
def broken(door, *args, **more):
    if "br-MGMT" in (*args, *more.values()) or any("br-MGMT" == getattr(a, "link", "") for a in args):
        raise StepFailed(f"injected: {call}")
    return works(door, *args, **more)
setattr(NetlinkDoor, call, broken)
from cell_reconciler.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def boot(host: Managed, *words: str) -> subprocess.CompletedProcess[Any]:
    argv = [sys.executable, "-c", ALONE, "--state-dir", str(host.state), "boot", *words]
    return host.lab.exec(argv, timeout=60)


def dark(host: Managed) -> None:
    """As when the kernel has just started: NICs, and nothing else."""
    for link in ("br-MGMT", "br-VM"):
        host.lab.exec(["ip", "link", "del", link])
    for nic in ("eno1", "ens1f0"):
        host.sh("ip", "link", "set", nic, "down")
        host.sh("ip", "link", "set", nic, "group", "default")


@pytest.fixture
def confirmed(nic: Managed) -> Managed:
    nic.declare()
    nic.write("bridge.yaml", NETWORK)
    nic.cut(0)
    (nic.specs / "bridge.yaml").unlink()  # the directory is on a disk that is not mounted yet
    return nic


def test_it_needs_nothing_but_the_kernel_and_the_file(confirmed: Managed) -> None:
    before = confirmed.world()
    dark(confirmed)
    done = boot(confirmed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "+ restored  Bridge/br-MGMT" in done.stdout
    assert "2 restored, 0 unchanged, 0 not restored" in done.stdout
    until(confirmed.answers, 5)
    assert confirmed.world() == before
    assert "default via 10.9.0.1 dev br-MGMT" in confirmed.sh("ip", "route")
    again = boot(confirmed, "--format", "json")
    assert again.returncode == 0
    assert [one["result"] for one in json.loads(again.stdout)["resources"]] == ["unchanged", "unchanged"]
    assert "NetworkRestored" in confirmed.cellctl_status("events")


def test_it_waits_for_a_nic(confirmed: Managed) -> None:
    dark(confirmed)
    confirmed.sh("ip", "link", "set", "eno1", "name", "eth0")  # udev has not named it yet
    process = confirmed.lab.popen(
        [*CELLCTL, "--state-dir", str(confirmed.state), "boot", "--wait", "30s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: "br-VM" in confirmed.sh("ip", "link", "show", "ens1f0"), 15)  # what is there is not kept waiting
        time.sleep(0.5)
        assert process.poll() is None
    finally:
        confirmed.sh("ip", "link", "set", "eth0", "name", "eno1")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    assert "waiting: eno1" in err
    until(confirmed.answers, 5)


def test_what_is_missing_keeps_nothing_else_back(confirmed: Managed) -> None:
    dark(confirmed)
    confirmed.sh("ip", "link", "set", "ens1f0", "name", "gone0")
    try:
        started = time.monotonic()
        done = boot(confirmed, "--wait", "2s")
        assert time.monotonic() - started < 25, "by default it waits 30 s"
    finally:
        confirmed.sh("ip", "link", "set", "gone0", "name", "ens1f0")
    assert done.returncode == 6
    assert "NicMissing" in done.stdout
    until(confirmed.answers, 5)


def test_what_cannot_be_read_keeps_nothing_else_back(confirmed: Managed) -> None:
    path = confirmed.state / "network.json"
    network = json.loads(path.read_text())
    network["documents"][1]["spec"]["fieldOfALaterVersion"] = True
    path.write_text(json.dumps(network))
    dark(confirmed)
    done = boot(confirmed)
    assert done.returncode == 1
    assert "does not understand it" in done.stdout
    until(confirmed.answers, 5)


@pytest.mark.parametrize("call", ["create_link", "set_link", "add_address", "move_routes", "set_route"])
def test_what_fails_takes_nothing_from_a_host_that_is_reached_already(confirmed: Managed, call: str) -> None:
    """The initramfs has set up the NIC; the way of its address to the bridge fails, whatever is tried."""
    dark(confirmed)
    for command in ("link set eno1 up", "address add 10.9.0.2/24 brd + dev eno1", "route add default via 10.9.0.1"):
        confirmed.sh("ip", *command.split())
    until(confirmed.answers, 5)
    argv = [sys.executable, "-c", BROKEN, call, "--state-dir", str(confirmed.state), "boot", "--wait", "0s"]
    done = confirmed.lab.exec(argv, timeout=60)
    assert (done.returncode, f"injected: {call}" in done.stdout) == (1, True), done.stdout + done.stderr
    confirmed.sh("ip", "neigh", "flush", "all")  # a port that has the address still answers whom it knew
    until(confirmed.answers, 5)
    assert "default via 10.9.0.1" in confirmed.sh("ip", "route")
    assert "br-VM" in confirmed.sh("ip", "link", "show", "ens1f0"), "nothing else is kept back"
    assert boot(confirmed).returncode == 0
    until(confirmed.answers, 5)
    assert "default via 10.9.0.1 dev br-MGMT" in confirmed.sh("ip", "route")


@pytest.mark.parametrize("damaged", ["network.json", "pending.json"])
def test_a_damaged_file(confirmed: Managed, damaged: str) -> None:
    """Each of the two stands in for the other; without both the specs are left, for ``run``."""
    confirmed.write("bridge.yaml", OTHER)
    confirmed.apply("--allow", "cuts-management", "--confirm-timeout", "60s", code=0)
    for guard in confirmed.guards():
        confirmed.end(guard)
    path = confirmed.state / "pending.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    (confirmed.state / damaged).write_bytes(b"{")
    dark(confirmed)
    done = boot(confirmed)
    until(confirmed.answers, 5)
    assert not confirmed.pending
    said = done.stdout + done.stderr
    assert (done.returncode, f"{damaged} cannot be read" in said) == (0 if damaged == "pending.json" else 1, True), said


def test_a_change_that_was_not_confirmed_is_forgotten(confirmed: Managed) -> None:
    """Power cut while an operator had still to say commit."""
    before = confirmed.links()
    confirmed.write("bridge.yaml", OTHER)
    confirmed.apply("--allow", "cuts-management", "--confirm-timeout", "60s", code=0)
    refused = boot(confirmed)
    assert (refused.returncode, "is not confirmed yet" in refused.stderr) == (6, True), (
        "not in the boot it was begun in"
    )
    path = confirmed.state / "pending.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    dark(confirmed)
    done = boot(confirmed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "restarted before the change of Bridge/br-MGMT was confirmed" in done.stdout
    assert not confirmed.pending
    until(confirmed.answers, 5)
    assert confirmed.links()[1] == before[1]
    assert "RolledBack" in confirmed.cellctl_status("events")


def test_run_does_it_where_no_unit_did(confirmed: Managed) -> None:
    """And does not make again at once what the operator was asked about."""
    settings = confirmed.specs / "settings.yaml"
    settings.write_text(settings.read_text() + "  allow: cuts-management\n")
    confirmed.write("bridge.yaml", OTHER)
    confirmed.apply("--allow", "cuts-management", "--confirm-timeout", "60s", code=0)
    for guard in confirmed.guards():
        confirmed.end(guard)
    path = confirmed.state / "pending.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    dark(confirmed)
    confirmed.cellctl("run", "--once")
    assert not confirmed.pending
    until(confirmed.answers, 5)
    assert "10.9.0.2/24" in confirmed.sh("ip", "address", "show", "br-MGMT")


def test_nothing_was_confirmed_yet(nic: Managed) -> None:
    before = nic.links()
    done = boot(nic)
    assert (done.returncode, "nothing to bring back" in done.stdout) == (0, True)
    same(nic, before)


def test_what_is_declared_no_more_stays_until_it_is_gone(confirmed: Managed) -> None:
    """Pruning is off: the bridge is still there, and so it is after the next boot."""
    confirmed.write("bridge.yaml", NETWORK.partition("---")[0])
    confirmed.apply(code=0)
    assert names(confirmed) == ["br-MGMT", "br-VM"]
    confirmed.sh("ip", "link", "del", "br-VM")
    confirmed.apply(code=0)
    assert names(confirmed) == ["br-MGMT"]


def names(host: Managed) -> list[str]:
    return [entry["key"]["name"] for entry in json.loads((host.state / "network.json").read_text())["documents"]]
