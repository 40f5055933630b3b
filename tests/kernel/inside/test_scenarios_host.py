"""Scenario 20: what is not ours on a host with our network is the same afterwards, and an export changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.cli.exported import Export, export
from cell_reconciler.load import Specs
from cell_reconciler.model.change import Risk
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.planning import Policy, make_plan
from tests.kernel.inside.test_network_chain import facts
from tests.network import HOST, ExecutedHost, document, ip, isolated
from tests.spaces import without_dad

pytestmark = pytest.mark.kernel

NICS = ("eno1", "eno2", "eno3", "eno4")
MINE = """
link set eno4 up
addr add 10.50.0.1/24 dev eno4
addr add fd50::1/64 dev eno4
link add virbr0 type bridge
addr add 192.168.122.1/24 dev virbr0
link set virbr0 up
tuntap add vnet9 mode tap
link set vnet9 master virbr0 up
link add bond9 type bond mode balance-xor
link set bond9 up
link add link bond9 name bond9.7 type vlan id 7
link set bond9.7 up
route add 10.60.0.0/16 via 10.50.0.254 proto bgp metric 20
route add 10.61.0.0/16 via 10.50.0.254 proto dhcp metric 100
route add 10.62.0.0/16 via 10.50.0.254 proto static table 77
route add blackhole 10.63.0.0/16 proto bird
-6 route add fd60::/64 via fd50::fe proto ra
rule add from 10.50.0.0/24 lookup 77 priority 700
"""
# On the bridge that is ours: of a daemon, of DHCP, of an operator.
ON_OURS = """
addr add 10.10.0.99/24 dev br-MGMT
addr add 10.10.9.9/24 dev br-MGMT valid_lft 3000 preferred_lft 3000
route add 10.70.0.0/16 via 10.10.0.254 proto bgp
route add 10.71.0.0/16 via 10.10.0.254 proto dhcp
route add default via 10.10.0.254 metric 4000 proto static
-6 route add fd70::/64 via fd00::fe proto bgp
rule add to 10.71.0.0/16 lookup main priority 710
"""


def run(commands: str) -> None:
    for line in commands.strip().splitlines():
        ip(line)


def ours(**mgmt: Any) -> list[Document]:
    spec = {"uplink": "bond0", "addresses": ["10.10.0.11/24", "fd00::11/64"], **mgmt}
    return [
        document("Bond/bond0", {"members": ["eno1", "eno2"]}),
        document("Vlan/storage", {"parent": "bond0", "id": 20, "addresses": ["10.20.0.11/24"]}),
        document("Bridge/br-MGMT", spec),
        document("Bridge/br-VM.101", {"uplink": "bond0", "vlan": 101}),
        document("Nic/eno3", {"addresses": ["10.30.0.11/24"]}),
    ]


ROUTES = [{"to": "10.80.0.0/16", "via": "10.10.0.1"}, {"to": "default", "via": "10.10.0.1", "table": 80}]
RULES = [{"from": "10.10.0.11", "table": 80, "priority": 800}]


def said(words: str) -> list[str]:
    """Lines without the seconds that a lease has left."""
    lines = (line.strip() for line in ip(words).splitlines())
    return [line for line in lines if "valid_lft" not in line]


def theirs() -> dict[str, Any]:
    """Everything that ip(8) tells but what is ours (proto 206) and what the kernel derives from that."""
    links = {name: facts(name) for name in ("eno4", "virbr0", "vnet9", "bond9", "bond9.7")}
    # Which of two addresses of a network is the first of them changes with ours.
    on_ours = [
        line.replace(" secondary", "")
        for line in said("addr show dev br-MGMT")
        if "10.10.0.99" in line or "10.10.9.9" in line
    ]
    routes = [*said("route show table all"), *said("-6 route show table all")]
    rules = [*said("rule"), *said("-6 rule")]
    own = ("proto 206", "proto 0xce", "dev storage", "dev eno3", "dev bond0", "dev br-VM.101", "dev eno1", "dev eno2")
    kernels = "dev br-MGMT proto kernel", "dev br-MGMT table local"
    kept = [line for line in routes if not any(word in line for word in (*own, *kernels, "anycast", "multicast"))]
    return {**links, "br-MGMT": on_ours, "routes": kept, "rules": [line for line in rules if "206" not in line]}


def start() -> ExecutedHost:
    without_dad()
    ip("link set lo up")
    for nic in NICS:
        ip(f"link add {nic} type dummy")
    run(MINE)
    return ExecutedHost()


@isolated
def test_scenario_20_what_is_not_ours_is_preserved() -> None:
    host = start()
    host.converge(*ours())
    run(ON_OURS)
    before = theirs()
    text = str(before)
    for word in ("bgp", "dhcp", "bird", "ra", "static", "10.10.0.99", "10.10.9.9", "lookup 77", "710"):
        assert word in text
    for spec in (
        {"routes": ROUTES, "rules": RULES},
        {"addresses": ["10.10.0.12/24", "fd00::11/64"], "routes": ROUTES[:1]},
        {"mtu": 1400},
        {},
    ):
        host.converge(*ours(**spec), prune=True)
        assert theirs() == before, spec
    ip("addr del 10.10.0.11/24 dev br-MGMT")
    ip("link set br-VM.101 down")
    host.converge(*ours())
    assert theirs() == before


@isolated
def test_scenario_20_an_empty_document_changes_nothing() -> None:
    """As a file it is no document, and with one nothing is pruned; as a spec it names nothing of what is adopted."""
    host = start()
    host.converge(*ours())
    run(ON_OURS)
    before, live = theirs(), host.live()
    for text in (b"{}", b"", b"---\n{}\n", b"[]", b"null"):
        loaded = Specs((), HOST, fixed={"empty.yaml": text}).scan()
        plan = make_plan(HOST, loaded, live, Policy(allow=Risk.CUTS_VM, prune=True))
        assert not plan.steps, text
    names = {"virbr0": "Bridge", "bond9": "Bond", "eno4": "Nic"}
    nothing = [document(f"{kind}/{name}", adopt=True) for name, kind in names.items()]
    plan = host.converge(*nothing, *ours())
    assert {step.op.split(".")[1] for step in plan.steps} == {"adopt"}
    assert unmarked(theirs()) == unmarked(before)


def unmarked(found: Any) -> Any:
    """Without group and alias, which say whose something is."""
    if isinstance(found, dict):
        return {key: unmarked(value) for key, value in found.items() if key not in ("group", "ifalias")}
    return [unmarked(value) for value in found] if isinstance(found, list) else found


def loaded(found: Export) -> Loaded:
    texts = {str(key): found.text(key).encode() for key in found.documents}
    read = Specs((), HOST, fixed=texts).scan()
    assert not [d for d in read.diagnostics if d.severity == "error"], read.diagnostics
    return read


@isolated
def test_scenario_20_applying_the_export_is_an_empty_plan() -> None:
    """Ours needs nothing at all; what others made gets marks, and then nothing either."""
    host = start()
    host.converge(*ours(routes=ROUTES, rules=RULES))
    run(ON_OURS)
    before, writes = theirs(), host.doors.writes.total
    read = loaded(export((), host.live(), ours=True)).documents.values()
    keys = {doc.key for doc in ours()}
    own = [doc for doc in read if doc.key in keys]
    assert len(own) == len(keys)
    plan = host.apply(*own)
    assert plan.empty, [change for change in plan.changes if not change.quiet]
    assert host.doors.writes.total == writes
    assert {"Bond/bond9", "Vlan/bond9.7"} <= {str(doc.key) for doc in read if doc.key not in keys}
    plan = host.converge(*read)
    assert {step.op.split(".")[1] for step in plan.steps} == {"adopt"}
    assert unmarked(theirs()) == unmarked(before)
