"""Settings of ports that a Bridge document lists: whose they are, when they are set, and what that may cut."""

from __future__ import annotations

from typing import Any

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.ports import DEFAULTS
from cell_reconciler.model.change import Risk
from cell_reconciler.model.live import Link, Live, VlanRange
from cell_reconciler.model.mark import GROUP
from tests.kinds.test_bridge_options import KERNEL
from tests.livelinks import bridge, link, live, tap
from tests.network import document, ops, plan_of

PVID = VlanRange(first=1, last=1, pvid=True, untagged=True)
TAGGED = VlanRange(first=100, last=200)


def port(name: str = "eno1", **more: Any) -> Link:
    """A NIC that we attached to br0, with the kernel's defaults."""
    return link(name, **{"master": "br0", "group": GROUP, "port": DEFAULTS | {"brport_cost": 100}} | more)


def filtering(**more: Any) -> Link:
    return bridge("br0", data=KERNEL | {"br_vlan_filtering": 1}, **more)


def planned(spec: dict[str, Any], have: Live, *, adopt: bool = False) -> Any:
    return plan_of([document("Bridge/br0", spec, adopt=adopt)], have)


def on(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"uplink": "eno1", "vlanFiltering": True, "ports": list(ports)}


def test_a_listed_port_has_all_settings_and_only_what_differs_is_set() -> None:
    now = port(port=DEFAULTS | {"brport_isolated": 1, "brport_learning": 0})
    plan = planned(
        {"uplink": "eno1", "ports": [{"name": "eno1", "isolated": True, "cost": 5}]}, live(bridge("br0"), now)
    )
    (step, _) = plan.steps
    assert (step.op, step.action.options) == ("bridge.port", {"brport_learning": 1, "brport_cost": 5})
    assert [f.path for f in plan.changes[0].fields] == ["spec.ports[eno1].learning", "spec.ports[eno1].cost"]


def test_of_an_adopted_bridge_only_the_named_settings_are_ours() -> None:
    now = port(group=0, port=DEFAULTS | {"brport_isolated": 1, "brport_learning": 0})
    spec = {"uplink": "eno1", "ports": [{"name": "eno1", "learning": True}]}
    plan = planned(spec, live(bridge("br0", foreign=True), now), adopt=True)
    assert [step.action.options for step in plan.steps if step.op == "bridge.port"] == [{"brport_learning": 1}]


def test_what_is_not_listed_is_left_alone() -> None:
    strange = {"brport_isolated": 1, "brport_priority": 7}
    have = live(bridge("br0"), port(port=DEFAULTS | strange), tap("vnet0", "br0"))
    assert planned({"uplink": "eno1"}, have).empty


def test_a_foreign_port_is_set_when_it_is_named_and_never_moved() -> None:
    spec = {"uplink": "eno1", "ports": [{"name": "veth7", "isolated": True}]}
    veth = link("veth7", "veth", master="br0", port=DEFAULTS)
    assert ops(planned(spec, live(bridge("br0"), port(), veth))) == ["bridge.port", "bridge.mark"]
    for elsewhere in (link("veth7", "veth"), link("veth7", "veth", master="br9", port=DEFAULTS)):
        assert planned(spec, live(bridge("br0"), bridge("br9", foreign=True), port(), elsewhere)).empty
    assert planned(spec, live(bridge("br0"), port())).empty, "it may come later"


def test_a_port_that_comes_is_set_after_it_came_with_what_the_kernel_does_not_do_itself() -> None:
    spec = on({"name": "eno1", "isolated": True, "learning": True, "vlans": {"native": 1, "trunk": ["100-200"]}})
    for have in (live(link("eno1")), live(filtering(), link("eno1"))):
        plan = planned(spec, have)
        names = [name for name in ops(plan) if name in ("bridge.attach", "bridge.port", "bridge.port.vlans")]
        assert names == ["bridge.attach", "bridge.port", "bridge.port.vlans"]
        port_step, vlan_step = (next(s for s in plan.steps if s.op == op) for op in names[1:])
        assert port_step.action.options == {"brport_isolated": 1}
        assert vlan_step.action.vlans == (PVID, TAGGED)


def test_lost_vlans_are_put_back() -> None:
    """A port that left and came back has forgotten all but the default."""
    spec = on({"name": "eno1", "vlans": {"trunk": ["100-200"], "native": 1}})
    have = live(filtering(vlans=(PVID,)), port(vlans=(PVID,)))
    plan = planned(spec, have)
    assert ops(plan) == ["bridge.port.vlans", "bridge.mark"]
    assert [(f.path, f.have) for f in plan.changes[0].fields] == [("spec.ports[eno1].vlans", {"access": 1})]
    assert planned(spec, live(filtering(), port(vlans=(PVID, TAGGED)))).empty


def test_vlans_are_one_value_what_is_left_out_is_not_carried() -> None:
    have = live(filtering(), port(vlans=(PVID, TAGGED)))
    plan = planned(on({"name": "eno1", "vlans": {"trunk": ["100-200"]}}), have)
    assert plan.steps[0].action.vlans == (TAGGED,), "no native VLAN was declared, so there is none"
    assert planned(on({"name": "eno1", "vlans": {"trunk": [200, "100-199"], "native": 1}}), have).empty


def test_adding_vlans_is_a_blip_and_taking_them_away_may_cut() -> None:
    have = live(filtering(addresses=("10.0.0.1/24",)), port(vlans=(PVID, TAGGED)))

    def risk(vlans: dict[str, Any]) -> Risk:
        spec = on({"name": "eno1", "vlans": vlans}) | {"addresses": ["10.0.0.1/24"]}
        return next(step.risk for step in planned(spec, have).steps if step.op == "bridge.port.vlans")

    assert risk({"native": 1, "trunk": ["100-201"]}) == Risk.BLIP
    assert risk({"native": 1, "trunk": ["100-199"]}) == Risk.CUTS_MANAGEMENT
    assert risk({"native": 2, "trunk": [1, "100-200"]}) == Risk.CUTS_MANAGEMENT


def test_the_bridge_itself_takes_part_in_vlans() -> None:
    spec = on({"name": "br0", "vlans": {"access": 10}})
    plan = planned(spec, live(filtering(vlans=(PVID,)), port(vlans=(PVID,))))
    (action, *_) = [step.action for step in plan.steps if step.op == "bridge.port.vlans"]
    assert (action.name, action.master) == ("br0", "br0")
    own = VlanRange(first=10, last=10, pvid=True, untagged=True)
    assert planned(spec, live(filtering(vlans=(own,)), port(vlans=(PVID,)))).empty
    assert "bridge.port.vlans" in ops(planned(spec, live(link("eno1")))), "also when it is made"


def test_ignored_settings_are_shown_and_left() -> None:
    doc = document("Bridge/br0", {"uplink": "eno1", "ports": [{"name": "eno1", "isolated": True}]})
    doc = type(doc)(
        **{f: getattr(doc, f) for f in doc.__struct_fields__} | {"annotations": {"cell/ignore": "/spec/ports"}}
    )
    plan = plan_of([doc], live(bridge("br0"), port()))
    assert not plan.steps
    assert [f.ignored for f in plan.changes[0].fields] == [True]


def test_an_undeclared_bridge_is_told_with_the_settings_that_somebody_gave_its_ways_out() -> None:
    ports = (
        port("eno1", group=0, port=DEFAULTS | {"brport_isolated": 1}),
        port("eno2", group=0, vlans=(PVID, TAGGED)),
        port("eno3", group=0, vlans=(PVID,)),
        tap("vnet0", "br0"),
    )
    have = live(bridge("br0", foreign=True, data=KERNEL | {"br_vlan_filtering": 1}), *ports)
    world = World(host="cell-01", domain_type="kvm", documents={}, live=have, pools={})
    found = kind("Bridge").observe("br0", world)
    assert found is not None
    assert [(p.name, p.isolated) for p in found.spec.ports] == [("eno1", True), ("eno2", False)]
    assert found.spec.ports[1].vlans.trunk == ("100-200",)
