"""A host that ip(8) set up: exported, taken over, the same network before and after; other managers are respected."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.cli import exits
from cell_reconciler.lab import Lab
from tests.live.hosts import CELLCTL, SpecHost, text

pytestmark = pytest.mark.live

# Cables of the lab's own, so that nothing else of it is touched. Their other ends stand for switches.
MAKE = """
set -e
for n in bfe0 bfe1 bfe2; do
    ip link add $n type veth peer name p$n
    ip link set $n up
    ip link set p$n up
done
ip address add 10.71.0.5/24 dev bfe0
ip address add fd71::5/64 dev bfe0 nodad
ip route add 10.72.0.0/16 via 10.71.0.1 metric 50
ip route add 10.73.0.0/16 via 10.71.0.1 table 171
ip rule add from 10.71.0.5 lookup 171 priority 1071
ip link add bf-br0 type bridge ageing_time 10000 mcast_snooping 0
ip link set bfe1 master bf-br0
ip link set bf-br0 up
ip address add 10.74.0.1/24 dev bf-br0
ip link add bf-br1 type bridge
ip link set bf-br1 mtu 1400 up
ip tuntap add bf-vnet0 mode tap
ip link set bf-vnet0 master bf-br1
ip link set bf-vnet0 up
"""
REMOVE = """
ip rule del priority 1071
for n in bfe0 bfe1 bfe2 bf-br0 bf-br1 bf-vnet0; do ip link del $n; done
ip route flush table 171
rm -f /run/network/ifstate
"""
MINE = ("Nic/bfe0", "Bridge/bf-br0", "Bridge/bf-br1")


class Brownfield(SpecHost):
    def network(self) -> Any:
        """Links, addresses, routes and rules as ip(8) has them, but for our marks and what moves by itself."""
        argv = (
            ["-d", "addr"],
            ["-d", "route", "show", "table", "all"],
            ["-d", "-6", "route"],
            ["rule"],
            ["-6", "rule"],
        )
        return [_still(json.loads(self.sh("ip", "-j", *words))) for words in argv]

    def settled(self) -> Any:
        """The network once nothing moves by itself: IPv6 tries its addresses for some seconds."""
        before, seen = None, self.network()
        while before != seen:
            time.sleep(2.5)
            before, seen = seen, self.network()
        return seen

    def export(self, *what: str) -> None:
        """Into the directory of the specs."""
        self.reset_specs()
        done = self.bare("export", *(what or MINE), "-o", str(self.specs / "net"))
        assert done.returncode == exits.OK, done.stderr

    def bare(self, *argv: str) -> Any:
        """A command that takes no specs."""
        return self.lab.exec([*CELLCTL, "--host", "h1", "--state-dir", str(self.state), *argv], timeout=60)

    def without_annotations(self) -> None:
        for path in self.specs.rglob("*.yaml"):
            path.write_text(re.sub(r"  annotations:\n    cell/adopt: 'true'\n", "", path.read_text()))

    def json(self, *argv: str) -> Any:
        return json.loads(text(self.cellctl(*argv, "--format", "json").stdout))


def _still(value: Any) -> Any:
    moving = (
        "ifalias",
        "group",
        "operstate",
        "expires",
        "valid_life_time",
        "preferred_life_time",
        "txqlen",
        "gc_timer",
    )
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in moving and not k.endswith("_timer") and k != "flags"}
        return {k: _still(v) for k, v in kept.items()} | ({"up": "UP" in value["flags"]} if "flags" in value else {})
    return [_still(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def host(lab: Lab) -> Iterator[Brownfield]:
    site = Brownfield(lab)
    site.sh("sh", "-c", MAKE)
    yield site
    lab.exec(["sh", "-c", REMOVE], timeout=60)


def test_applying_an_export_writes_marks_only(host: Brownfield) -> None:
    before = host.settled()
    host.export()
    assert host.bare("validate", "-f", str(host.specs)).returncode == exits.OK
    plan = host.json("diff")
    assert {c["key"]: (c["verb"], c["fields"], c["refused"]) for c in plan["changes"]} == {
        key: ("adopt", [], []) for key in MINE
    }
    assert {step["op"].partition(".")[2] for step in plan["steps"]} == {"adopt"}
    assert host.cellctl("apply", "-y").returncode == exits.OK
    assert host.network() == before
    again = host.json("apply")
    assert again["summary"]["writingCalls"] == 0
    assert host.cellctl("diff", "--exit-code").returncode == exits.OK


def test_adopt_once_and_the_annotation_can_go(host: Brownfield) -> None:
    before = host.settled()
    host.export()
    answer = host.json("adopt")
    assert (sorted(answer["adopted"]), answer["refused"], answer["differ"]) == (sorted(MINE), [], [])
    assert host.network() == before
    host.without_annotations()
    assert host.cellctl("diff", "--exit-code").returncode == exits.OK
    assert host.json("apply")["summary"]["writingCalls"] == 0
    assert "3 ours already" in text(host.cellctl("adopt", *MINE).stdout)
    assert host.cellctl("adopt").returncode == exits.USAGE, "nothing is annotated, and nothing is named"
    link = json.loads(host.sh("ip", "-j", "link", "show", "bf-br1"))[0]
    assert link["ifalias"].endswith(";adopted")


def test_what_differs_is_not_adopted_and_the_rest_is(host: Brownfield) -> None:
    host.export()
    path = host.specs / "net" / "bridge-bf-br0.yaml"
    path.write_text(path.read_text().replace("10.74.0.1/24", "10.74.0.9/24"))
    before = host.settled()
    done = host.cellctl("adopt")
    said = text(done.stdout)
    assert done.returncode == exits.REFUSED
    assert "Differs: not adopted as it is: spec.addresses differs" in said
    assert "let 'cellctl apply' do it: add 10.74.0.9/24 to bf-br0" in said
    assert "2 adopted, 1 refused" in said
    assert host.network() == before
    assert "ifalias" not in json.loads(host.sh("ip", "-j", "link", "show", "bf-br0"))[0]


def test_what_is_not_there_cannot_be_adopted(host: Brownfield) -> None:
    host.write("new.yaml", "apiVersion: cell/v1\nkind: Bridge\nmetadata: {name: bf-none}\nspec: {}\n")
    done = host.cellctl("adopt", "Bridge/bf-none")
    assert done.returncode == exits.REFUSED
    assert "Missing: there is nothing to adopt" in text(done.stdout)
    assert host.cellctl("adopt", "Bridge/other").returncode == exits.USAGE


def test_an_adopted_bridge_is_given_up_and_stays(host: Brownfield) -> None:
    host.export("Bridge/bf-br1")
    assert host.cellctl("adopt").returncode == exits.OK
    (host.specs / "net" / "bridge-bf-br1.yaml").unlink()
    host.write("other.yaml", "apiVersion: cell/v1\nkind: Bridge\nmetadata: {name: br-keep}\nspec: {}\n")
    assert host.cellctl("apply", "--prune", "-y").returncode == exits.OK
    link = json.loads(host.sh("ip", "-j", "link", "show", "bf-br1"))[0]
    assert (link.get("ifalias"), link["group"]) == (None, "default")
    host.sh("ip", "link", "del", "br-keep")


STANZA = "auto bfe2\niface bfe2 inet manual\n"


def test_a_nic_of_another_manager_is_not_taken(host: Brownfield) -> None:
    """The files that ifupdown leaves, in the lab's own /etc and /run."""
    host.write("br.yaml", "apiVersion: cell/v1\nkind: Bridge\nmetadata: {name: br-bf9}\nspec: {uplink: bfe2}\n")
    put = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.parent.mkdir(exist_ok=True); p.write_text(sys.argv[2])"
    for path, content in (("/etc/network/interfaces", STANZA), ("/run/network/ifstate", "bfe2=bfe2\n")):
        host.sh(sys.executable, "-c", put, path, content)
    done = host.cellctl("apply", "-y")
    assert done.returncode == exits.REFUSED
    said = text(done.stdout)
    assert "ManagedElsewhere: bfe2 is managed by ifupdown (iface bfe2 in /etc/network/interfaces)" in said
    assert "take bfe2 out of its stanza" in said
    assert "master" not in json.loads(host.sh("ip", "-j", "link", "show", "bfe2"))[0]
    assert "managed by ifupdown" in text(host.bare("graph").stdout)
    exported = host.bare("export", "Nic/bfe2")
    assert "# bfe2 is managed by ifupdown" in text(exported.stdout)
    host.write("nic.yaml", "apiVersion: cell/v1\nkind: Nic\nmetadata: {name: bfe2}\nspec: {}\n")
    adopted = host.cellctl("adopt", "Nic/bfe2")
    assert adopted.returncode == exits.REFUSED
    assert text(adopted.stdout).count("ManagedElsewhere") == 1
    (host.specs / "nic.yaml").unlink()
    host.sh(sys.executable, "-c", put, "/etc/network/interfaces", "")  # the remedy
    assert host.cellctl("apply", "-y").returncode == exits.OK
    assert json.loads(host.sh("ip", "-j", "link", "show", "bfe2"))[0]["master"] == "br-bf9"
    host.sh("ip", "link", "del", "br-bf9")


def test_graph_of_the_host(host: Brownfield) -> None:
    host.export()
    assert host.cellctl("adopt").returncode == exits.OK
    host.sh("ip", "link", "set", "bf-br1", "mtu", "1300")
    host.write("new.yaml", "apiVersion: cell/v1\nkind: Bridge\nmetadata: {name: br-new}\nspec: {uplink: bfe2}\n")
    found = host.json("graph")
    states = {node["name"]: [s["word"] for s in node["states"]] for node in found["nodes"]}
    assert states["br-new"] == ["missing"]
    assert "drift" in states["bf-br1"]
    assert {"below": "link:bfe2", "above": "link:br-new", "active": True} in found["edges"]
    assert {"below": "link:bf-br1", "above": "link:bf-vnet0", "active": True} in found["edges"]
    said = text(host.cellctl("graph", "Bridge/bf-br1").stdout)
    assert "~ bf-br1" in said
    assert "[drift: mtu]" in said
    assert "bfe0" not in said, "it neither carries that bridge nor stands on it"
    assert host.cellctl("graph", "Bridge/none").returncode == exits.USAGE


def test_graph_of_a_snapshot_elsewhere_is_the_same(host: Brownfield, tmp_path: Path) -> None:
    host.export()
    live = host.lab.share / "live.json"
    assert host.cellctl("observe", "-o", str(live)).returncode == exits.OK
    there = host.cellctl("graph", "--format", "dot")
    here = host.cellctl("graph", "--live", str(live), "--format", "dot")
    assert (there.returncode, text(there.stdout)) == (here.returncode, text(here.stdout))
