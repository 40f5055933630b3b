"""Somebody else writes what we write: the loop gives up, and names the process that did it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.daemon.triggers_netlink import process
from cell_reconciler.drivers.netlink import LinkEvents
from cell_reconciler.lab import Lab
from tests.live.hosts import HOST_AND_POOL
from tests.live.run_host import RunHost, within
from tests.network import ip, isolated

pytestmark = pytest.mark.live

SPEC = f"""{HOST_AND_POOL}apiVersion: cell/v1
kind: Bridge
metadata: {{name: br-spare}}
spec: {{addresses: [10.83.0.1/24]}}
"""
# Takes an address away whenever it is there, by the same socket, and lives until it is told to end.
OPPONENT = """
import socket, sys, time
from pyroute2 import IPRoute
name, cidr = sys.argv[1:]
address, length = cidr.split("/")
with IPRoute() as netlink:
    index = socket.if_nametoindex(name)
    while True:
        found = netlink.get_addr(index=index, family=socket.AF_INET)
        if any(one.get_attr("IFA_LOCAL") == address for one in found):
            netlink.addr("del", index=index, address=address, prefixlen=int(length))
        time.sleep(0.2)
"""


@isolated
def test_an_event_tells_the_process_that_caused_it() -> None:
    ip("link add br0 type bridge")
    ip("address add 10.83.0.1/24 dev br0")
    events = LinkEvents()
    opponent = subprocess.Popen([sys.executable, "-c", OPPONENT, "br0", "10.83.0.1/24"])
    try:
        end = time.monotonic() + 20
        while not events.read() or "br0" not in events.senders:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert events.senders["br0"] == opponent.pid
        name = Path("/proc", str(opponent.pid), "comm").read_text().strip()
        assert process(opponent.pid) == f"{name} (pid {opponent.pid})"
    finally:
        opponent.kill()
        opponent.wait()
    assert process(opponent.pid) == "", "it is gone"
    assert process(os.getppid()) == "", "it has no such socket here: the number is that of another one"
    events.close()


@pytest.fixture
def host() -> Iterator[RunHost]:
    with Lab.up(name="fighting", kernel="namespace", nics=("eth0",), bound=True) as lab:
        host = RunHost(lab)
        host.write("base.yaml", SPEC)
        host.start("--interval", "10m")
        host.settle("Bridge/br-spare")
        yield host
        host.clean()


def test_the_loop_gives_up_and_names_the_process(host: RunHost) -> None:
    opponent = host.lab.popen([sys.executable, "-c", OPPONENT, "br-spare", "10.83.0.1/24"])
    try:
        within(30, lambda: (c := host.ready("Bridge/br-spare")) is not None and c.reason == "Fighting")
        ready = host.ready("Bridge/br-spare")
        assert ready is not None
        assert "the process python" in ready.message, ready
        assert "which changed br-spare last, changes it again" in ready.message
    finally:
        opponent.send_signal(signal.SIGKILL)
        opponent.wait()
    assert host.cellctl("resume", "bridge/br-spare").returncode == 0
    within(5, lambda: "10.83.0.1" in host.sh("ip", "-br", "address", "show", "br-spare"))
    host.settle("Bridge/br-spare")
