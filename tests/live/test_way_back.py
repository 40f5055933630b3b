"""Promise 7 on a real kernel: a change on the management path is confirmed by probes, or undone by itself.

The host is managed through eno1 and br-MGMT; the gateway 10.9.0.1, which the probes ask, is at the other end of the
cable. The cable of eno2 is pulled, so a bridge that moves there is cut off.
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
from tests.live.hosts import CELLCTL, SpecHost, text

pytestmark = pytest.mark.live

SETTINGS = """
apiVersion: cell/v1
kind: Host
metadata: {name: h1}
spec: {domainType: qemu}
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
print(json.dumps([links, still(out("route")), still(out("-6", "route", "show", "proto", "static"))], sort_keys=True))
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
    with Lab.up(name="way-back", kernel="namespace", bound=True) as lab:
        lab.in_switch(["ip", "address", "add", "10.9.0.1/24", "dev", "switch"])
        lab.in_switch(["sh", "-c", f'exec python3 -c "{TCP}" >/dev/null 2>&1 &'])
        lab.cable("eno2", False)
        yield Managed(lab)


@pytest.fixture
def nic(running: Managed) -> Managed:
    """Managed by eno1 itself; no bridge yet."""
    until(lambda: not running.guards(), 15)
    running.wipe()
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
    before = host.links()
    host.declare(uplink="eno2", gateway="10.9.0.99")
    assert "no probe passes" in host.cut(6)
    assert host.links() == before
    assert not host.pending


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
