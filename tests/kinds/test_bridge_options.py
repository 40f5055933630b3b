"""What the planner does about the options of a bridge: one table of fields, in the order that the kernel accepts."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds.bridge import options
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.model.change import Risk
from cell_reconciler.model.live import Link
from tests.livelinks import bridge, link, live, tap
from tests.network import document, ops, plan_of

KERNEL = options.kernel(BridgeSpec(), options.FIELDS)  # a new bridge, as far as somebody looks


def have(**more: Any) -> Link:
    return bridge("br0", data=KERNEL | more)


def sets(spec: dict[str, Any], now: Link, *others: Link, adopt: bool = False) -> list[dict[str, Any]]:
    """The options that each step sets."""
    plan = plan_of([document("Bridge/br0", spec, adopt=adopt)], live(now, *others))
    return [step.action.options for step in plan.steps if step.op == "bridge.set"]


def test_the_defaults_are_those_of_the_kernel() -> None:
    """Measured on Linux 6.1: ``ip -d link`` of a bridge that was just made."""
    assert KERNEL == {
        "br_stp_state": 0,
        "br_forward_delay": 1500,
        "br_hello_time": 200,
        "br_max_age": 2000,
        "br_priority": 32768,
        "br_ageing_time": 30000,
        "br_mcast_snooping": 1,
        "br_mcast_querier": 0,
        "br_group_fwd_mask": 0,
        "br_vlan_filtering": 0,
        "br_vlan_default_pvid": 1,
        "br_vlan_protocol": "802.1Q",
    }


def test_a_new_bridge_is_told_only_what_is_unusual() -> None:
    spec = {"stp": True, "forwardDelay": "4s", "priority": 32768, "ports": [{"name": "br0"}], "vlanFiltering": True}
    plan = plan_of([document("Bridge/br0", spec)], live())
    assert plan.steps[0].action.data == {"br_stp_state": 1, "br_forward_delay": 400}
    assert plan.steps[1].action.options == {"br_vlan_filtering": 1}
    assert plan_of([document("Bridge/br0")], live()).steps[0].action.data == {}


@pytest.mark.parametrize(
    ("spec", "now", "want"),
    [
        ({}, {"br_ageing_time": 100}, [{"br_ageing_time": 30000}]),
        ({"multicastSnooping": False}, {}, [{"br_mcast_snooping": 0}]),
        # On: in one request, in which the kernel sets the delay first. Off: STP lets go of the delay first.
        ({"stp": True, "forwardDelay": "2s"}, {"br_forward_delay": 0}, [{"br_stp_state": 1, "br_forward_delay": 200}]),
        ({"forwardDelay": "0s"}, {"br_stp_state": 1}, [{"br_stp_state": 0}, {"br_forward_delay": 0}]),
        ({"vlanDefaultPvid": 7, "priority": 1}, {}, [{"br_priority": 1}, {"br_vlan_default_pvid": 7}]),
        ({}, {"br_vlan_filtering": 1}, [{"br_vlan_filtering": 0}]),
        ({"vlanProtocol": "802.1ad"}, {}, [{"br_vlan_protocol": "802.1ad"}]),
    ],
)
def test_what_differs_is_set_in_the_order_that_the_kernel_accepts(
    spec: dict[str, Any], now: dict[str, Any], want: list[dict[str, Any]]
) -> None:
    assert sets(spec, have(**now)) == want


def test_of_an_adopted_bridge_only_what_is_named_is_ours() -> None:
    foreign = bridge("br0", foreign=True, data=KERNEL | {"br_priority": 1, "br_ageing_time": 100})
    assert sets({"ageingTime": "300s"}, foreign, adopt=True) == [{"br_ageing_time": 30000}]


@pytest.mark.parametrize(("told", "quiet"), [(201, True), (200, True), (199, False), (202, False)])
def test_a_time_may_be_told_a_centisecond_short(told: int, quiet: bool) -> None:
    """The kernel keeps jiffies: with 250 Hz, 2.01 s comes back as 2.00 s."""
    assert (sets({"ageingTime": "2010ms"}, have(br_ageing_time=told)) == []) is quiet


def test_an_option_that_the_kernel_does_not_tell_needs_nothing() -> None:
    assert plan_of([document("Bridge/br0")], live(bridge("br0"))).empty


def test_stp_by_a_program_counts_as_on() -> None:
    """2 is BR_USER_STP: /sbin/bridge-stp took it over."""
    assert sets({"stp": True}, have(br_stp_state=2)) == []


def test_filtering_comes_after_the_vlans_of_the_ports_and_says_whom_it_may_cut() -> None:
    spec = {"vlanFiltering": True, "vlanDefaultPvid": 5, "ports": [{"name": "vnet0", "vlans": {"access": 101}}]}
    plan = plan_of([document("Bridge/br0", spec)], live(have(), tap("vnet0", "br0")))
    assert ops(plan) == ["bridge.set", "bridge.port.vlans", "bridge.set", "bridge.mark"]
    assert [step.risk for step in plan.steps] == [Risk.NONE, Risk.NONE, Risk.CUTS_VM, Risk.NONE]


# -- MTU: the kernel does not tell whether it is pinned -----------------------------------------------------------


def test_the_mtu_is_pinned_whenever_a_spec_is_applied() -> None:
    plan = plan_of([document("Bridge/br0", {"mtu": 9000, "priority": 1})], live(bridge("br0", mtu=9000)))
    assert plan.steps[-1].action.pin_mtu == 9000


def test_the_mtu_is_pinned_when_it_is_all_that_was_added() -> None:
    made = plan_of([document("Bridge/br0")], live()).steps[0].action
    plan = plan_of([document("Bridge/br0", {"mtu": 1500})], live(bridge("br0", alias=made.alias)))
    assert ops(plan) == ["bridge.mark"]
    assert plan.steps[0].action.pin_mtu == 1500
    after = bridge("br0", alias=plan.steps[0].action.alias)
    assert plan_of([document("Bridge/br0", {"mtu": 1500})], live(after)).empty


def test_without_a_declared_mtu_nothing_is_pinned() -> None:
    plan = plan_of([document("Bridge/br0", {"priority": 1})], live(have()))
    assert plan.steps[-1].action.pin_mtu is None
    assert plan_of([document("Bridge/br0")], live()).steps[0].action.pin_mtu is None


def test_a_creation_that_was_cut_short_is_finished_as_a_whole() -> None:
    plan = plan_of([document("Bridge/br0", {"mtu": 1500})], live(bridge("br0", alias=None)))
    first = plan.steps[0].action
    assert (plan.steps[0].op, first.pin_mtu, first.ipv6, first.up) == ("bridge.create", 1500, False, True)
    assert first.alias == plan.steps[-1].action.alias


def test_a_vlan_device_whose_creation_was_cut_short_is_finished_as_a_whole() -> None:
    from tests.livelinks import vlan

    doc = document("Bridge/br0.5", {"uplink": "eno1", "vlan": 5})
    device = vlan("eno1", 5, of="br0.5", master="br0.5", alias=None, up=False)
    plan = plan_of([doc], live(link("eno1"), bridge("br0.5"), device))
    assert [(s.op, s.action.name, s.action.ipv6) for s in plan.steps[:1]] == [("bridge.vlan.create", "eno1.5", False)]
