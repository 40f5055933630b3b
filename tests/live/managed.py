"""A host that is managed through eno1 and br-MGMT, for the tests of the way back.

The gateway 10.9.0.1, which the probes ask, is at the other end of the cable. The cable of eno2 is pulled, so a bridge
that moves there is cut off.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.lab import Lab
from tests.labs import need
from tests.live.hosts import SpecHost, text

SETTINGS = """
apiVersion: cell/v1
kind: Host
metadata: {name: h1}
spec: {domainType: qemu, overcommit: {cpu: 1000, memory: 100, disk: 1000}}
---
apiVersion: cell/v1
kind: Reconciler
metadata: {name: settings}
spec:
  confirmTimeout: %(timeout)s
  probes:
  - {name: gateway, ping: {address: %(gateway)s}}
  - {name: gateway-tcp, tcp: {address: %(gateway)s, port: 7777}}
"""
BRIDGE = """
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-MGMT}
spec: {uplink: %(uplink)s, stp: %(stp)s, addresses: [%(address)s]}
"""
# What `ip` says of links, addresses and routes, without what moves by itself.
LINKS = r"""
import json, subprocess
def out(*argv): return json.loads(subprocess.run(["ip", "-j", *argv], capture_output=True, check=True).stdout or "[]")
def still(value):
    if isinstance(value, dict):
        moving = ("timer", "life_time", "operstate", "dynamic", "config_pending", "topology_change", "qdisc")
        return {k: still(v) for k, v in value.items() if not any(word in k for word in moving)}
    return [still(v) for v in value] if isinstance(value, list) else value
links = still(out("-d", "addr"))
for link in links:
    # The link-local address of a port comes and goes with its carrier, duplicate address detection with time.
    link["addr_info"] = sorted((a for a in link["addr_info"] if a["scope"] == "global"), key=str)
ways = [out("route"), out("-6", "route", "show", "proto", "static"), out("rule"), out("-6", "rule")]
print(json.dumps([links, *map(still, ways)], sort_keys=True))
"""
TCP = "import socket; s = socket.create_server(('', 7777))\nwhile True: s.accept()[0].close()"


class Managed(SpecHost):
    """A host whose management path is br-MGMT."""

    def declare(
        self, uplink: str = "eno1", address: str = "10.9.0.2/24", stp: str = "false", timeout: str = "4s",
        gateway: str = "10.9.0.1",
    ) -> None:  # fmt: skip
        self.write("settings.yaml", SETTINGS % {"timeout": timeout, "gateway": gateway})
        self.write("bridge.yaml", BRIDGE % {"uplink": uplink, "address": address, "stp": stp})

    def links(self) -> Any:
        return json.loads(self.sh("python3", "-c", LINKS))

    def apply(self, *args: str, code: int) -> str:
        done = self.cellctl("apply", "--yes", *args)
        said = text(done.stdout) + text(done.stderr)
        assert done.returncode == code, said
        return said

    def cut(self, code: int) -> str:
        return self.apply("--allow", "cuts-management", code=code)

    def answers(self) -> bool:
        return self.lab.exec(["ping", "-c", "1", "-W", "1", "10.9.0.1"]).returncode == 0

    def end(self, pid: int) -> None:
        """SIGKILL of one of its processes, and the wait for its end."""
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in self.guards(), 5)

    @property
    def pending(self) -> bool:
        return any((self.state / name).exists() for name in ("pending.json", "reverting.json"))

    def guards(self) -> list[int]:
        """Processes of the machine, as the host's lab has no other view of them that we could signal."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                argv = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"cell_reconciler.converge.guard" in argv and str(self.state).encode() in argv:
                found.append(int(path.parent.name))
        return found


@pytest.fixture(scope="module")
def running() -> Iterator[Managed]:
    need("namespace")
    with Lab.up(name=f"way-back-{os.getpid()}", kernel="namespace", bound=True) as lab:
        lab.in_switch(["ip", "address", "add", "10.9.0.1/24", "dev", "switch"])
        server = int(lab.in_switch(["sh", "-c", f'python3 -c "{TCP}" >/dev/null 2>&1 & echo $!']).stdout)
        lab.cable("eno2", False)
        try:
            yield Managed(lab)
        finally:
            os.kill(server, signal.SIGKILL)  # in the switch there is the network of the lab, but no other world


@pytest.fixture
def nic(running: Managed) -> Managed:
    """Managed by eno1 itself; no bridge yet."""
    for guard in running.guards():  # of a test that failed
        running.end(guard)
    running.wipe()
    running.lab.exec(["ip", "rule", "del", "priority", "1000"])  # of a test that left its own
    running.lab.exec(["ip", "address", "flush", "dev", "eno1", "scope", "global"])
    for argv in ("link set eno2 down", "link set eno1 up", "address add 10.9.0.2/24 brd + dev eno1"):
        running.sh("ip", *argv.split())
    running.sh("ip", "route", "add", "default", "via", "10.9.0.1", "metric", "100")
    until(running.answers, 10)
    return running


@pytest.fixture
def host(nic: Managed) -> Managed:
    """Managed by br-MGMT on eno1, applied and confirmed, with a static route through it."""
    nic.declare()
    nic.cut(0)
    nic.sh("ip", "route", "replace", "default", "via", "10.9.0.1", "metric", "100")
    return nic


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.1)


def same(host: Managed, before: Any) -> None:
    """The links are as before; a carrier takes a moment to be seen."""
    end = time.monotonic() + 5
    while (now := host.links()) != before and time.monotonic() < end:
        time.sleep(0.2)
    assert [line for line in _lines(now) if line not in _lines(before)] == []
    assert now == before


def _lines(links: Any) -> list[str]:
    """One line for each fact, so that a failure shows what differs."""
    by_name = {link["ifname"]: link for link in links[0]}
    facts = [f"{name} {key}: {value}" for name, link in by_name.items() for key, value in link.items()]
    return facts + [str(route) for routes in links[1:] for route in routes]
