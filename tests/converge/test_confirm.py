"""Which changes the guard watches over, and which of their steps are made under it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.converge.confirm import guarded, parts
from cell_reconciler.model.change import Plan, Risk, Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live

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
