"""Which changes the guard watches over, and which of their steps are made under it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.converge.confirm import guarded, linked, parts, path_of
from cell_reconciler.converge.guarded import confirmable
from cell_reconciler.drivers.probes import Arp, Lacp, Ping, Tcp
from cell_reconciler.kinds.reconciler.spec import ReconcilerSpec
from cell_reconciler.model.change import Plan, Risk, Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from tests.network import document, problems

MGMT, VMS, WEB = Key("Bridge", "br-MGMT"), Key("Bridge", "br-VM"), Key("VirtualMachine", "web")


class Nothing(msgspec.Struct, frozen=True):
    def done(self, doors: Any) -> bool:
        return True

    def do(self, doors: Any) -> None: ...


def link(name: str, kind: str | None = None, **more: Any) -> Link:
    facts = {"index": 1, "mac": "02:00:00:00:00:01", "permanent_mac": None, "mtu": 1500, "up": True, "carrier": True}
    return Link(name=name, kind=kind, **(facts | {"master": None, "parent": None, "group": 0, "alias": None} | more))


def live(*links: Link) -> Live:
    return Live(host="h1", links={each.name: each for each in links})


def plan(*steps: tuple[Key, Risk, str], edges: tuple[tuple[int, ...], ...] = ()) -> Plan:
    made = tuple(Step(key=key, op=op, text=op, action=Nothing(), risk=risk) for key, risk, op in steps)
    return Plan(host="h1", changes=(), steps=made, edges=edges or tuple(() for _ in made))


BRIDGES = live(
    link("bond0", "bond", master="br-MGMT"),
    link("br-MGMT", "bridge", addresses=("10.9.0.2/24",)),
    link("vnet0", "tun", master="br-MGMT"),
    link("br-VM", "bridge", addresses=("fe80::1/64",)),
    link("vnet1", "tun", master="br-VM"),
)


def test_a_bridge_with_the_hosts_address_is_guarded_also_when_vms_are_on_it() -> None:
    assert guarded(plan((MGMT, Risk.CUTS_VM, "bridge.detach")), BRIDGES) == {MGMT}
    assert guarded(plan((MGMT, Risk.BLIP, "bridge.mtu")), BRIDGES) == {MGMT}
    assert guarded(plan((Key("Bond", "bond0"), Risk.NONE, "bond.enslave")), BRIDGES) == {Key("Bond", "bond0")}


def test_what_does_not_lead_to_the_host_is_not() -> None:
    assert not guarded(plan((VMS, Risk.CUTS_VM, "bridge.detach"), (WEB, Risk.CUTS_VM, "vm.stop")), BRIDGES)
    assert not guarded(plan((MGMT, Risk.NONE, "bridge.mark")), BRIDGES), "a mark is text"
    assert not guarded(plan((MGMT, Risk.NONE, "bridge.create")), live())


def test_a_new_bridge_that_takes_the_address_of_its_nic_is_guarded() -> None:
    assert guarded(plan((MGMT, Risk.CUTS_MANAGEMENT, "bridge.attach")), live(link("eno1"))) == {MGMT}


def test_what_may_steer_the_packets_of_the_host_is_guarded_on_whichever_link() -> None:
    assert guarded(plan((VMS, Risk.NONE, "bridge.rule.add")), BRIDGES) == {VMS}
    assert guarded(plan((VMS, Risk.NONE, "bridge.route.set")), BRIDGES) == {VMS}


def test_an_operator_confirms_every_change_of_a_link_but_no_mark() -> None:
    mixed = plan((VMS, Risk.NONE, "bridge.mtu"), (MGMT, Risk.NONE, "bridge.mark"), (WEB, Risk.CUTS_VM, "vm.stop"))
    assert linked(mixed) == {VMS}


def test_the_path_of_a_change_is_all_above_and_below_it() -> None:
    links = live(
        link("eno1", master="bond0"),
        link("bond0", "bond"),
        link("bond0.20", "vlan", parent="bond0", master="br-MGMT"),
        link("br-MGMT", "bridge", addresses=("10.9.0.2/24",)),
        link("vnet0", "tun", master="br-MGMT"),
        link("eno2"),
    )
    assert path_of({"bond0"}, links) == {"eno1", "bond0", "bond0.20", "br-MGMT"}
    assert path_of({"br-MGMT"}, links) == {"eno1", "bond0", "bond0.20", "br-MGMT", "vnet0"}
    assert path_of({"eno2", "br-NEW"}, links) == {"eno2", "br-NEW"}


def test_lacp_partners_on_the_path_are_asked_and_what_is_configured() -> None:
    links = live(
        link("bond0", "bond", data={"bond_mode": "802.3ad"}, master="br-MGMT"),
        link("bond1", "bond", data={"bond_mode": "active-backup"}, master="br-MGMT"),
        link("bond2", "bond", data={"bond_mode": "802.3ad"}),
        link("br-MGMT", "bridge"),
    )
    probes: tuple[dict[str, Any], ...] = (
        {"name": "a", "ping": {"address": "10.0.0.1"}},
        {"name": "b", "tcp": {"address": "10.0.0.1", "port": 22}},
        {"name": "c", "arp": {"address": "10.0.0.1", "interface": "br-MGMT"}},
        {"name": "d", "lacp": {"bond": "bond2"}},
    )
    spec = msgspec.convert({"probes": probes}, ReconcilerSpec)
    found = confirmable(spec, {"br-MGMT"}, links)
    assert [probe for probe in found if isinstance(probe, Lacp)] == [
        Lacp(name="LACP partner of bond0", bond="bond0", needed=False),
        Lacp(name="d", bond="bond2"),
    ]
    assert Arp(name="c", address="10.0.0.1", interface="br-MGMT") in found
    assert {Ping(name="a", address="10.0.0.1"), Tcp(name="b", address="10.0.0.1", port=22)} <= set(found)


@pytest.mark.parametrize(
    ("probe", "rules"),
    [
        ({"name": "a"}, {"exactly-one"}),
        ({"name": "a", "ping": {"address": "10.0.0.1"}, "lacp": {"bond": "bond0"}}, {"exactly-one"}),
        ({"name": "a", "arp": {"address": "gateway"}}, {"probe-address"}),
        ({"name": "a", "ping": {"address": "fe80::1%eno1"}}, set()),
        ({"name": "a", "arp": {"address": "fd00::1"}}, set()),
    ],
)
def test_what_a_probe_may_be(probe: dict[str, Any], rules: set[str]) -> None:
    assert problems(document("Reconciler/settings", {"probes": [probe]})) == rules


def test_what_can_be_done_without_the_path_comes_first_and_what_needs_it_last() -> None:
    steps = ((WEB, Risk.NONE, "a"), (MGMT, Risk.CUTS_MANAGEMENT, "b"), (MGMT, Risk.NONE, "c"), (WEB, Risk.NONE, "d"))
    assert parts(plan(*steps, edges=((), (0,), (1,), (2,))), {MGMT}) == ({0}, {1, 2}, {3})
    between = plan(steps[1], steps[0], steps[2], edges=((), (0,), (1,)))
    assert parts(between, {MGMT}) == (set(), {0, 1, 2}, set())


@given(st.data())
def test_every_step_is_in_one_part_and_finds_what_it_needs(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 10))
    keys = [data.draw(st.sampled_from([MGMT, VMS, WEB])) for _ in range(count)]
    edges = tuple(tuple(sorted(data.draw(st.sets(st.integers(0, i - 1))) if i else ())) for i in range(count))
    whole = plan(*((key, Risk.NONE, "x") for key in keys), edges=edges)
    phases = parts(whole, {MGMT})
    assert sorted(index for phase in phases for index in phase) == list(range(count))
    phase_of = {index: number for number, phase in enumerate(phases) for index in phase}
    assert all(phase_of[before] <= phase_of[index] for index in range(count) for before in edges[index])
    assert all(phase_of[index] == 1 for index in range(count) if keys[index] == MGMT)
