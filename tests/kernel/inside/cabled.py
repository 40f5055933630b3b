"""A host whose management path is made of a bond, a VLAN and a bridge, for tests that let a change of it go wrong.

The host is reached through bond-MGMT (eno1, eno2), VLAN 20 on it, br-MGMT on that, from a neighbour at the other end
of the cables. The change moves the bridge to another VLAN, adds an address and replaces a member.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.network import ip
from tests.spaces import Space, without_dad

SETTINGS = """
apiVersion: cell/v1
kind: Reconciler
metadata: {name: settings}
spec: {confirmTimeout: %(timeout)ss, allow: cuts-management}
"""
NETWORK = """
---
apiVersion: cell/v1
kind: Bond
metadata: {name: bond-MGMT}
spec: {members: [eno1, %(member)s]}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-MGMT}
spec:
  uplink: bond-MGMT
  vlan: %(vlan)s
  addresses: %(addresses)s
  routes: [{to: default, via: 10.9.0.1, metric: 100}]
"""
BEFORE = {"member": "eno2", "vlan": 20, "addresses": "[10.9.0.2/24]"}
AFTER = {"member": "eno3", "vlan": 30, "addresses": "[10.9.0.2/24, 10.9.0.3/24]"}
UNTOUCHED = ("br-VM", "ens1", "vnet0")
MOVING = ("index", "timer", "life_time", "stats", "ad_", "churn", "carrier", "operstate", "qdisc")


class Cabled:
    """This namespace, with specs and a state directory; the neighbour has the gateway in VLANs 20 and 30."""

    def __init__(self, directory: Path) -> None:
        self.specs, self.state = directory / "specs", directory / "state"
        self.specs.mkdir(parents=True)
        without_dad()
        ip("link set lo up")
        self.other = Space("eno1", "one")
        self.other.run("link add switch type bridge")
        self.other.run("link set one master switch")
        for nic, plug in (("eno2", "two"), ("eno3", "three")):
            ip(f"link add {nic} type veth peer name {plug} netns /proc/{os.getpid()}/fd/{self.other._handle}")
            self.other.run(f"link set {plug} master switch up")
        self.other.run("link set switch up")
        for vlan in (20, 30):
            self.other.run(f"link add link switch name switch.{vlan} type vlan id {vlan}")
            self.other.run(f"link set switch.{vlan} up")
        self.other.run("address add 10.9.0.1/24 dev switch.20")
        self.other.run("link add far type bridge")
        self._somebody_elses()
        self.declare(BEFORE)
        done = self.cellctl("apply", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.reached()
        self.facts_before, self.untouched_before = facts(), untouched()

    @staticmethod
    def _somebody_elses() -> None:
        ip("link add ens1 type dummy")
        ip("link add br-VM type bridge")
        ip("link add vnet0 type dummy")
        for name in ("ens1", "vnet0"):
            ip(f"link set {name} master br-VM up")
        ip("link set br-VM up")
        ip("address add 10.50.0.1/24 dev br-VM")
        ip("route add 10.60.0.0/16 via 10.50.0.9 proto bgp")

    def gateway(self, vlan: int) -> None:
        """The gateway is in this VLAN, and answers nowhere else."""
        for other in (20, 30):
            self.other.run(f"address flush dev switch.{other}")
        self.other.run(f"address add 10.9.0.1/24 dev switch.{vlan}")

    def declare(self, network: dict[str, Any], timeout: int = 30) -> None:
        (self.specs / "net.yaml").write_text(SETTINGS % {"timeout": timeout} + NETWORK % network)

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=120, check=False)

    def argv(self, *words: str, specs: bool = True) -> list[str]:
        given = ["-f", str(self.specs)] if specs else []
        return ["--host", "h1", "--state-dir", str(self.state), *words, *given]

    def cellctl(self, *words: str, specs: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "cell_reconciler.cli", *self.argv(*words, specs=specs))

    def faulty(self, how: str, number: int, *more: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "tests.live.fault_driver", how, str(number), *self.argv("apply", "--yes", *more))

    def reached(self) -> bool:
        """From the other end of the cables."""
        return bool(self.other.inside(lambda: ping("10.9.0.2")))

    @property
    def pending(self) -> bool:
        return any((self.state / name).exists() for name in ("pending.json", "reverting.json"))

    def calls(self) -> int:
        """Makes the change, to know how many writing calls it takes, and makes it back."""
        counts = []
        for network, vlan in ((AFTER, 30), (BEFORE, 20)):
            self.declare(network)
            done = self.cellctl("apply", "--yes", "--confirm-timeout", "60s", "--format", "json")
            assert done.returncode == 0, done.stdout + done.stderr
            counts.append(int(json.loads(done.stdout)["summary"]["writingCalls"]))
            self.gateway(vlan)
            assert self.cellctl("commit", specs=False).returncode == 0
            done = self.cellctl("apply", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.reached()
        assert counts[0] >= 5
        self.facts_before = facts()  # a former member stays up
        return counts[0]

    def back(self, seconds: float, what: str) -> None:
        """It answers, and is as before."""
        until(lambda: not self.pending and self.reached(), seconds, what)
        self.same(what)

    def nothing_to_do(self) -> None:
        """The next apply of the old specs."""
        self.declare(BEFORE)
        again = self.cellctl("apply", "--yes", "--format", "json")
        assert json.loads(again.stdout)["summary"]["writingCalls"] == 0, again.stdout

    def same(self, what: str) -> None:
        now = facts()
        differs = [(k, now.get(k), v) for k, v in self.facts_before.items() if now.get(k) != v]
        assert not differs, (what, differs)
        assert now.keys() == self.facts_before.keys(), what
        assert untouched() == self.untouched_before, what


def ping(address: str) -> bool:
    return subprocess.run(["ping", "-c", "1", "-W", "1", address], capture_output=True, check=False).returncode == 0


def until(what: Callable[[], bool], seconds: float, text: str) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"{text}: did not come true in time"
        time.sleep(0.2)


def facts() -> dict[str, Any]:
    """Links, addresses and routes as ``ip`` tells them, without the numbers and moments of what was made anew."""
    links = json.loads(ip("-j -d address"))
    found = {link["ifname"]: still(link) for link in links}
    for link in found.values():  # a port's link-local address comes and goes with its carrier
        link["addr_info"] = sorted(str(still(x)) for x in link["addr_info"] if x["scope"] == "global")
    found["routes"] = sorted(ip("route show table all").splitlines() + ip("rule").splitlines())
    return found


def still(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: still(v) for k, v in value.items() if not any(word in k for word in MOVING)}
    return [still(x) for x in value] if isinstance(value, list) else value


def untouched() -> str:
    """Byte by byte what ``ip`` says of links that the change does not name; a timer of the bridge moves by itself."""
    said = [ip(f"-d -o address show dev {name}") + ip(f"-o link show dev {name}") for name in UNTOUCHED]
    return "".join(said) + ip("route show dev br-VM")
