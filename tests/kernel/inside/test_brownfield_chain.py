"""Bonds, VLANs and bridges that ip(8) made: exported, taken over by marks alone, and the same network after."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cell_reconciler.cli.exported import Export, export, notes, other_steps
from cell_reconciler.load import Specs
from cell_reconciler.model.change import Plan, Risk
from cell_reconciler.model.document import Loaded
from cell_reconciler.planning import Policy, make_plan
from tests.kernel.inside.test_network_chain import settled
from tests.network import HOST, NetworkHost, ip, isolated, refusals

pytestmark = pytest.mark.kernel

CHAIN = """
link add eno1 type dummy
link add eno2 type dummy
link add bond0 type bond mode 802.3ad miimon 50 lacp_rate fast xmit_hash_policy layer3+4
link set bond0 mtu 9000
link set eno1 master bond0
link set eno2 master bond0
link set bond0 up
link add link bond0 name bond0.101 type vlan id 101
link add br101 type bridge
link set bond0.101 master br101
link set bond0.101 up
link set br101 up
link add link bond0 name bond0.102 type vlan id 102
link add br102 type bridge vlan_filtering 0 stp_state 0 forward_delay 400 ageing_time 10000 mcast_snooping 0
link set bond0.102 master br102
link set bond0.102 up
link set br102 up
address add 10.102.0.11/24 dev br102
route add 10.103.0.0/16 via 10.102.0.1 metric 20
route add default via 10.102.0.1 table 102
rule add from 10.102.0.11 lookup 102 priority 1102
link add link bond0 name storage type vlan id 20
link set storage up
address add 10.20.0.11/24 dev storage
link add link storage name qinq type vlan id 7 protocol 802.1Q
link set qinq up
tuntap add vnet7 mode tap
link set vnet7 master br101 up
link add bond1 type bond mode active-backup miimon 0 arp_interval 500 arp_ip_target 10.0.0.1,10.0.0.2
link add eno3 type dummy
link set eno3 master bond1
link set bond1 up
address add 10.50.0.11/24 dev bond1
link add virbr0 type bridge
"""


def made(commands: str = CHAIN) -> tuple[str, ...]:
    """Run the commands; the names of all links but lo."""
    for line in commands.strip().splitlines():
        ip(line)
    return tuple(NetworkHost().live().links.keys() - {"lo"})


def loaded(found: Export, *, annotated: bool = True) -> Loaded:
    texts = {str(key): found.text(key) for key in found.documents}
    if not annotated:
        texts = {name: text.replace("  annotations:\n    cell/adopt: 'true'\n", "") for name, text in texts.items()}
    read = Specs((), HOST, fixed={name: text.encode() for name, text in texts.items()}).scan()
    assert not [d for d in read.diagnostics if d.severity == "error"], read.diagnostics
    return read


def planned(host: NetworkHost, documents: Loaded) -> Plan:
    return make_plan(HOST, documents, host.live(), Policy(allow=Risk.CUTS_VM))


def marked(host: NetworkHost, plan: Plan) -> None:
    """Make the steps of a plan, which are marks and nothing else."""
    assert not refusals(plan)
    assert not [(change.key, field.path) for change in plan.changes for field in change.fields]
    assert not [step.text for change in plan.changes for step in other_steps(change)]
    for step in plan.steps:
        step.action.do(host.doors)


def unmarked(facts: Iterable[object]) -> list[object]:
    """What ip(8) says, but for the group and the alias."""
    return [_without(fact) for fact in facts]


def _without(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if key not in ("group", "ifalias")}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


@isolated
def test_the_whole_chain_is_taken_over_by_marks_alone() -> None:
    names = made()
    host = NetworkHost()
    before = unmarked(settled(*names))
    found = export((), host.live())
    keys = {str(key) for key in found.documents}
    assert keys == {
        "Bond/bond0",
        "Bond/bond1",
        "Vlan/storage",
        "Vlan/qinq",
        "Bridge/br101",
        "Bridge/br102",
    }, keys
    said = "\n".join(notes(found))
    assert "would be changed" not in said, said
    assert "apply would also" not in said, said
    marked(host, planned(host, loaded(found)))
    assert unmarked(settled(*names)) == before
    again = planned(host, loaded(found))
    assert again.empty, [change for change in again.changes if not change.quiet]
    without = planned(host, loaded(found, annotated=False))
    assert without.empty, [change for change in without.changes if not change.quiet]


@isolated
def test_what_the_specs_say() -> None:
    made()
    found = export((), NetworkHost().live())
    documents = {str(key): d["spec"] for key, d in found.documents.items()}
    assert documents["Bond/bond0"] == {
        "ipv6": True,
        "members": ["eno1", "eno2"],
        "mode": "802.3ad",
        "mtu": 9000,
        "miimon": 50,
        "xmitHashPolicy": "layer3+4",
        "lacpRate": "fast",
    }
    assert documents["Bond/bond1"] == {
        "addresses": ["10.50.0.11/24"],
        "members": ["eno3"],
        "arpInterval": 500,
        "arpIpTarget": ["10.0.0.1", "10.0.0.2"],
    }
    assert "mtu" not in documents["Bridge/br101"]
    assert "Bridge/br101: its MTU 1500 is not declared: it follows its smallest port" in "\n".join(notes(found))
    assert (documents["Bridge/br101"]["uplink"], documents["Bridge/br101"]["vlan"]) == ("bond0", 101)
    br102 = documents["Bridge/br102"]
    assert (br102["uplink"], br102["vlan"], br102["addresses"]) == ("bond0", 102, ["10.102.0.11/24"])
    assert {route["to"] for route in br102["routes"]} == {"10.103.0.0/16", "0.0.0.0/0"}
    assert br102["rules"] == [{"from": "10.102.0.11/32", "table": 102, "priority": 1102}]
    assert (documents["Vlan/storage"]["parent"], documents["Vlan/storage"]["id"]) == ("bond0", 20)
    assert (documents["Vlan/qinq"]["parent"], documents["Vlan/qinq"]["id"]) == ("storage", 7)


@isolated
def test_a_host_made_from_the_export_of_another_is_the_same() -> None:
    """The export says enough: applied to an empty host (its NICs are there) it makes that network again."""
    made("\n".join(line for line in CHAIN.splitlines() if "vnet7" not in line))
    host = NetworkHost()
    found = export((), host.live())
    first = {str(key): document["spec"] for key, document in found.documents.items()}
    for name in ("qinq", "storage", "br101", "br102", "bond0.101", "bond0.102", "bond0", "bond1", "virbr0"):
        ip(f"link del {name}")
    ip("rule del priority 1102")
    plan = planned(host, loaded(found, annotated=False))
    assert not refusals(plan), refusals(plan)
    for step in plan.steps:
        if not step.action.done(host.doors):
            step.action.do(host.doors)
    assert planned(host, loaded(found, annotated=False)).empty
    second = {str(k): d["spec"] for k, d in export((), host.live(), ours=True).documents.items()}
    assert {name: _set(spec) for name, spec in second.items()} == {name: _set(spec) for name, spec in first.items()}


def _set(spec: dict[str, object]) -> dict[str, object]:
    return {k: sorted(v, key=str) if isinstance(v, list) else v for k, v in spec.items()}
