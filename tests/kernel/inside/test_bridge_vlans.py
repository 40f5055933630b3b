"""VLANs and isolation of ports, shown by packets that pass or do not; and what the kernel forgets is put back."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.model.live import VlanRange
from tests.network import NetworkHost, document, ip, isolated, ops
from tests.spaces import Space

pytestmark = pytest.mark.kernel
ADDRESS = {"a": "10.1.0.1", "b": "10.1.0.2", "c": "10.1.0.3"}
PLUG = {name: f"veth-{name}" for name in ADDRESS}  # the port of a guest
PVID = VlanRange(first=1, last=1, pvid=True, untagged=True)


def access(vid: int) -> dict[str, Any]:
    return {"vlans": {"access": vid}}


def bridge(ports: dict[str, dict[str, Any]], **more: Any) -> Any:
    listed = [{"name": PLUG.get(name, name), **settings} for name, settings in ports.items()]
    return document("Bridge/br0", {"vlanFiltering": True, "ports": listed, **more})


class Stage:
    """Three guests a, b and c on br0, in one network if the bridge lets them."""

    def __init__(self, doc: Any) -> None:
        self.host = NetworkHost()
        self.host.converge(doc)
        self.spaces = {name: Space(PLUG[name]) for name in ADDRESS}
        for name, space in self.spaces.items():
            ip(f"link set {PLUG[name]} master br0")
            space.run(f"addr add {ADDRESS[name]}/24 dev eth0")
            space.serve()
        self.host.converge(doc)

    def reaches(self, *expected: str) -> bool:
        """Do these pairs, and no others, get an answer, the first from the second (``ab``)?

        Frames are lost on a busy machine: who should answer is asked again, and who should not never does.
        """
        seen: set[str] = set()
        for _ in range(5):
            seen |= {a + b for a in ADDRESS for b in ADDRESS if a != b and a + b not in seen and self.asks(a, b)}
            if seen >= set(expected):
                break
        return seen == set(expected)

    def asks(self, one: str, other: str) -> bool:
        return self.spaces[one].answers(ADDRESS[other])


@isolated
def test_ports_of_one_vlan_reach_each_other_and_no_others() -> None:
    stage = Stage(bridge({"a": access(10), "b": access(10), "c": access(20)}))
    assert stage.reaches("ab", "ba")
    stage.host.converge(bridge({"a": access(10), "b": access(20), "c": access(20)}))
    assert stage.reaches("bc", "cb")
    stage.host.converge(document("Bridge/br0"))
    assert stage.reaches("ab", "ba", "ac", "ca", "bc", "cb"), "it filters no more"


@isolated
def test_isolated_ports_reach_only_those_that_are_not() -> None:
    ports = {"a": {"isolated": True}, "b": {"isolated": True}, "c": {}}
    stage = Stage(bridge(ports))
    assert stage.reaches("ac", "ca", "bc", "cb")
    ip(f"link set {PLUG['a']} nomaster")
    ip(f"link set {PLUG['a']} master br0")
    assert stage.reaches("ab", "ba", "ac", "ca", "bc", "cb"), "the kernel forgot it"
    assert ops(stage.host.converge(bridge(ports))) == ["bridge.port"]
    assert stage.reaches("ac", "ca", "bc", "cb")


@isolated
def test_a_trunk_carries_what_it_names_with_its_tag_and_nothing_else() -> None:
    trunk = {"vlans": {"native": 20, "trunk": ["10-12", 300]}}
    stage = Stage(bridge({"a": access(10), "b": access(13), "c": trunk}))
    inside = stage.spaces["c"]
    inside.run(f"addr del {ADDRESS['c']}/24 dev eth0")

    def by(vid: int) -> set[str]:
        inside.run(f"link add link eth0 name tag type vlan id {vid}")
        inside.run(f"addr add {ADDRESS['c']}/24 dev tag")
        inside.run("link set tag up")
        found = {name for name in "ab" if any(inside.answers(ADDRESS[name]) for _ in range(2))}
        inside.run("link del tag")
        return found

    assert (by(10), by(13), by(300)) == ({"a"}, set(), set())
    inside.run(f"addr add {ADDRESS['c']}/24 dev eth0")
    assert stage.reaches(), "without a tag it is in VLAN 20, alone"
    stage.host.converge(bridge({"a": access(20), "b": access(300), "c": trunk}))
    assert stage.reaches("ac", "ca")
    inside.run(f"addr del {ADDRESS['c']}/24 dev eth0")
    assert by(300) == {"b"}


@isolated
def test_the_host_takes_part_as_the_bridge_itself_says() -> None:
    ports = {"a": access(10), "b": access(20), "c": access(1)}
    stage = Stage(bridge(ports, addresses=["10.1.0.99/24"]))
    host = "10.1.0.99"

    def who() -> set[str]:
        return {name for name, space in stage.spaces.items() if _pings(space, host)}

    assert who() == {"c"}, "the default PVID"
    stage.host.converge(bridge({**ports, "br0": access(10)}, addresses=["10.1.0.99/24"]))
    assert who() == {"a"}


def _pings(space: Space, address: str) -> bool:
    """Is the neighbour found? (ARP is answered without anything that listens.)"""
    space.run("neigh flush all")
    any(space.answers(address) for _ in range(2))
    state = space.run("neigh show")
    return f"{address} " in state and "lladdr" in state


@isolated
def test_a_port_that_left_and_came_back_gets_its_vlans_again() -> None:
    doc = bridge({"a": access(10), "b": access(10), "c": access(20)}, vlanDefaultPvid=5)
    stage = Stage(doc)
    for name in ("a", "c"):
        ip(f"link set {PLUG[name]} nomaster")
        ip(f"link set {PLUG[name]} master br0")
    default = (VlanRange(first=5, last=5, pvid=True, untagged=True),)
    assert {name: stage.host.link(PLUG[name]).vlans for name in ("a", "c")} == {"a": default, "c": default}
    assert stage.asks("a", "c") or stage.asks("a", "c"), "they meet in the default VLAN"
    assert ops(stage.host.converge(doc)) == ["bridge.port.vlans"] * 2
    assert stage.reaches("ab", "ba")


@isolated
def test_an_uplink_gets_its_trunk_when_it_comes_and_after_another_took_its_place() -> None:
    ip("link add eno1 type dummy")
    ip("link add eno2 type dummy")
    host = NetworkHost()
    carried = (PVID, VlanRange(first=100, last=200), VlanRange(first=300, last=300))

    def doc(nic: str) -> Any:
        return bridge({nic: {"vlans": {"native": 1, "trunk": [300, "100-200"]}, "cost": 5}}, uplink=nic)

    host.converge(doc("eno1"))
    assert (host.link("eno1").vlans, host.link("eno1").port["brport_cost"]) == (carried, 5)
    host.converge(doc("eno2"))
    assert (host.link("eno2").vlans, host.link("eno1").master) == (carried, None)
    ip("link set eno2 nomaster")
    host.converge(doc("eno2"))
    assert host.link("eno2").vlans == carried


@isolated
def test_vlans_change_by_what_differs_and_four_thousand_at_once() -> None:
    ip("link add eno1 type dummy")
    host = NetworkHost()
    for trunk in (["2-4094"], ["2-999", "1001-4094"], ["2-4094"], [5, 7, 9, 11], [7]):
        host.converge(bridge({"eno1": {"vlans": {"native": 1, "trunk": trunk}}}, uplink="eno1"))
    for vlans in ({"trunk": [7]}, {"access": 7}, {"native": 8, "trunk": [7]}, {"native": 7, "trunk": [8]}):
        host.converge(bridge({"eno1": {"vlans": vlans}}, uplink="eno1"))
    # In a way that the spec has no words for: a PVID that leaves with its tag.
    host.converge(bridge({"eno1": access(7)}, uplink="eno1"))
    host.doors.netlink.set_vlans("eno1", (VlanRange(first=7, last=7, pvid=True),))
    assert ops(host.converge(bridge({"eno1": access(7)}, uplink="eno1"))) == ["bridge.port.vlans"]


@isolated
def test_the_untagged_network_is_not_lost_while_filtering_is_turned_on() -> None:
    """Nothing is filtered before every port has what it is meant to have."""
    plain = document("Bridge/br0")
    stage = Stage(plain)
    assert stage.asks("a", "b") or stage.asks("a", "b")
    doc = bridge({"a": access(7), "b": access(7), "c": access(7)}, vlanDefaultPvid=0)
    plan = stage.host.plan(doc)
    for step in plan.steps:
        step.action.do(stage.host.doors)
        assert stage.asks("a", "b") or stage.asks("a", "b"), step.text
    assert stage.reaches("ab", "ba", "ac", "ca", "bc", "cb")


@isolated
def test_a_bridge_of_somebody_else_keeps_its_vlans() -> None:
    ip("link add br9 type bridge vlan_filtering 1")
    ip("link add eno1 type dummy")
    ip("link set eno1 master br9")
    host = NetworkHost()
    host.doors.netlink.set_vlans("eno1", (VlanRange(first=9, last=9),))
    host.converge(bridge({"eno1": access(10), "vnet7": access(10)}))
    assert host.link("eno1").vlans == (VlanRange(first=9, last=9),)
    assert host.link("eno1").master == "br9", "a port is not made by being listed"
