"""What the planner does about bridges: values in, steps out."""

from __future__ import annotations

import time

import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Risk
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Gap, Link, Live, Source
from cell_reconciler.model.mark import GROUP
from tests.livelinks import bond, bridge, domain, link, live, ours, own_vlan, tap, vlan
from tests.network import document, ops, plan_of, refusals

BOND = document("Bond/bond0", {"members": ["eno1"]})
BOND_LIVE = (bond("bond0"), link("eno1", master="bond0"))
ACCESS = document("Bridge/br0.101", {"uplink": "bond0", "vlan": 101})
KEEP = document("Bridge/keep")


def nic(name: str = "eno1", **more: object) -> Link:
    """A NIC that we attached to br0."""
    return link(name, master="br0", group=GROUP, **more)


def reasons(doc: Document, have: Live, *others: Document, prune: bool = False) -> list[str]:
    plan = plan_of([doc, *others], have, prune=prune)
    return [r.reason for change in plan.changes if change.key == doc.key for r in change.refused]


def test_create_takes_the_address_of_the_uplink_and_turns_ipv6_off() -> None:
    plan = plan_of([document("Bridge/br0", {"uplink": "eno1"})], live(link("eno1")))
    assert ops(plan) == ["bridge.create", "bridge.attach"]
    create = plan.steps[0].action
    assert (create.mac, create.mac_of, create.ipv6) == (None, "eno1", False)
    assert plan.steps[-1].action.own, "the NIC is put in our group, so that it is known as our port"


def test_without_uplink_the_address_is_stable() -> None:
    first, second = (plan_of([KEEP], live()).steps[0].action.mac for _ in range(2))
    assert first == second
    assert first.startswith("02:")
    assert plan_of([document("Bridge/br1")], live()).steps[0].action.mac != first


def test_an_access_bridge_makes_its_vlan_device_after_the_bond() -> None:
    plan = plan_of([ACCESS, BOND], live(link("eno1")))
    names = ops(plan)
    assert names[-2:] == ["bridge.create", "bridge.vlan.create"], "two steps, since there are thousands of them"
    assert names.index("bond.up") < names.index("bridge.create")
    made = plan.steps[-1].action
    assert (made.master, made.up, made.ipv6) == ("br0.101", True, False)
    assert (made.name, made.parent, made.data) == ("bond0.101", "bond0", {"vlan_id": 101})
    assert made.alias.startswith("cell/v1;Bridge/br0.101;"), "the device belongs to the bridge"


def test_in_sync_is_quiet() -> None:
    have = live(
        *BOND_LIVE, vlan("bond0", 101, of="br0.101", master="br0.101"), bridge("br0.101"), tap("vnet0", "br0.101")
    )
    assert plan_of([ACCESS, BOND], have).empty


@pytest.mark.parametrize(
    ("have", "reason", "named"),
    [
        (live(), "NicMissing", "eno1"),
        (live(link("eno1", addresses=("10.0.0.1/24",))), "Conflict", "10.0.0.1/24"),
        (live(link("eno1", dynamic_addresses=("10.0.0.9/24",))), "Conflict", "10.0.0.9/24"),
        (live(link("eno1", master="virbr0"), bridge("virbr0", foreign=True)), "Conflict", "virbr0"),
        (live(bridge("eno1", foreign=True)), "Conflict", "bridge"),
        (live(link("eno1"), bridge("br0"), link("eno9", master="br0")), "Conflict", "eno9"),
        (live(link("eno1"), bridge("br0", foreign=True)), "Foreign", "br0"),
        (live(link("eno1"), bond("br0", foreign=True)), "Conflict", "bond"),
    ],
)
def test_what_stands_in_the_way_is_named(have: Live, reason: str, named: str) -> None:
    doc = document("Bridge/br0", {"uplink": "eno1"})
    plan = plan_of([doc], have)
    (refusal,) = plan.changes[0].refused
    assert (refusal.reason, named in refusal.message) == (reason, True)
    assert not plan.steps


def test_an_address_of_the_nic_moves_if_the_bridge_declares_it() -> None:
    doc = document("Bridge/br0", {"uplink": "eno1", "addresses": ["10.0.0.1/24"]})
    plan = plan_of([doc], live(link("eno1", addresses=("10.0.0.1/24",))))
    moves = ["bridge.address.add", "bridge.route.move", "bridge.address.move"]
    assert ops(plan) == ["bridge.create", "bridge.attach", *moves]
    assert plan.changes[0].risk == Risk.CUTS_MANAGEMENT


@pytest.mark.parametrize(
    ("device", "named"),
    [
        (vlan("bond0", 101, of=None, master="brbond0-101"), "brbond0-101"),
        (vlan("bond0", 101, of=None, name="storage"), "storage"),
        (vlan("bond0", 101, of="br1"), "Bridge/br1"),
        (link("bond0.101", "dummy"), "bond0.101"),
    ],
)
def test_the_vlan_device_of_others_is_not_taken(device: Link, named: str) -> None:
    br1 = document("Bridge/br1", {"uplink": "bond0", "vlan": 101})
    others = [br1] if device.alias else []
    plan = plan_of([ACCESS, BOND, *others], live(*BOND_LIVE, device, bridge("br1")))
    change = next(c for c in plan.changes if c.key == ACCESS.key)
    assert [r.reason for r in change.refused] == ["Conflict"]
    assert named in change.refused[0].message
    assert not change.steps


def test_another_vlan_replaces_the_device_and_says_whom_it_cuts() -> None:
    doc = document("Bridge/br0.101", {"uplink": "bond0", "vlan": 102})
    have = live(
        *BOND_LIVE,
        vlan("bond0", 101, of="br0.101", master="br0.101"),
        bridge("br0.101"),
        tap("vnet0", "br0.101"),
        domains=(domain("web-01", "br0.101", dev="vnet0"),),
    )
    plan = plan_of([doc, BOND], have)
    assert ops(plan) == ["bridge.vlan.delete", "bridge.vlan.create", "bridge.mark"]
    assert (plan.steps[0].risk, plan.steps[0].why) == (Risk.CUTS_VM, "carries vnet0 of web-01 (br0.101)")
    assert [f.path for f in plan.changes[1].fields] == ["spec.vlan"]


def test_the_old_uplink_goes_before_the_new_one_comes() -> None:
    have = live(bridge("br0"), nic("eno1"), link("eno2"))
    assert ops(plan_of([document("Bridge/br0", {"uplink": "eno2"})], have)) == [
        "bridge.detach",
        "bridge.attach",
        "bridge.mark",
    ]
    assert ops(plan_of([document("Bridge/br0")], have)) == ["bridge.detach", "bridge.mark"]


def test_a_port_that_somebody_else_attached_is_never_taken_off() -> None:
    have = live(bridge("br0"), link("veth7", "veth", master="br0"), tap("vnet0", "br0"), link("eno9", master="br0"))
    assert plan_of([document("Bridge/br0")], have).empty


def test_two_bridges_swap_their_uplinks() -> None:
    a, b = document("Bridge/a", {"uplink": "eno2"}), document("Bridge/b", {"uplink": "eno1"})
    have = live(bridge("a"), bridge("b"), link("eno1", master="a", group=GROUP), link("eno2", master="b", group=GROUP))
    plan = plan_of([a, b], have)
    done = [f"{step.key.name}:{step.op}" for step in plan.steps]
    assert not refusals(plan)
    assert done.index("a:bridge.detach") < done.index("b:bridge.attach")
    assert done.index("b:bridge.detach") < done.index("a:bridge.attach")


def test_mtu_grows_from_the_bottom_and_shrinks_from_the_top() -> None:
    def plan(want: int, now: int) -> list[str]:
        big = document("Bond/bond0", {"members": ["eno1"], "mtu": 9000})
        doc = document("Bridge/br0.101", {"uplink": "bond0", "vlan": 101, "mtu": want})
        device = vlan("bond0", 101, of="br0.101", master="br0.101", mtu=now)
        have = live(bond("bond0", mtu=9000), link("eno1", master="bond0", mtu=9000), device, bridge("br0.101", mtu=now))
        return ops(plan_of([doc, big], have))

    assert plan(9000, 1500) == ["bridge.vlan.mtu", "bridge.mtu", "bridge.mark"]
    assert plan(1500, 9000) == ["bridge.mtu", "bridge.vlan.mtu", "bridge.mark"]


def test_a_nic_grows_with_its_bridge_and_a_bond_has_to_be_told() -> None:
    on_nic = plan_of([document("Bridge/br0", {"uplink": "eno1", "mtu": 9000})], live(link("eno1")))
    assert "bridge.nic.mtu" in ops(on_nic)
    on_bond = document("Bridge/br0", {"uplink": "bond0", "mtu": 9000})
    (refusal,) = plan_of([on_bond, BOND], live(*BOND_LIVE)).changes[1].refused
    assert refusal.advice == "declare mtu 9000 for Bond/bond0"


def test_only_our_addresses_are_removed() -> None:
    have = live(bridge("br0", addresses=("10.0.0.1/24", "10.0.0.2/24"), owned_addresses=("10.0.0.1/24",)))
    plan = plan_of([document("Bridge/br0", {"addresses": ["10.0.0.3/24"]})], have)
    assert [(s.op, s.action.cidr) for s in plan.steps[:-1]] == [
        ("bridge.address.add", "10.0.0.3/24"),
        ("bridge.address.delete", "10.0.0.1/24"),
    ]
    assert plan.steps[1].risk == Risk.CUTS_MANAGEMENT


def test_an_address_set_by_hand_satisfies_the_spec_in_any_spelling() -> None:
    have = live(bridge("br0", addresses=("fd00::1/64",)))
    assert plan_of([document("Bridge/br0", {"addresses": ["FD00:0::1/64"]})], have).empty


def test_references_name_the_bond_only_if_it_is_declared() -> None:
    refs = kind("Bridge").references(ACCESS, {ACCESS.key: ACCESS, BOND.key: BOND})
    assert [r.target for r in refs] == [BOND.key]
    assert list(kind("Bridge").references(ACCESS, {ACCESS.key: ACCESS})) == []


def test_adoption_takes_bridge_and_vlan_device() -> None:
    doc = document("Bridge/br0.101", {"uplink": "bond0", "vlan": 101}, adopt=True)
    have = live(*BOND_LIVE, vlan("bond0", 101, of=None, master="br0.101"), bridge("br0.101", foreign=True, mtu=9000))
    plan = plan_of([doc, BOND], have)
    assert not refusals(plan)
    assert ops(plan) == ["bridge.adopt", "bridge.vlan.mark"]
    assert plan.steps[0].action.alias.endswith(";adopted")


def test_prune_deletes_the_vlan_device_with_the_bridge() -> None:
    have = live(bridge("keep"), *BOND_LIVE, vlan("bond0", 101, of="br0.101", master="br0.101"), bridge("br0.101"))
    plan = plan_of([KEEP, BOND], have, prune=True)
    assert ops(plan) == ["bridge.vlan.delete", "bridge.delete"]


def test_prune_finds_a_vlan_device_whose_bridge_is_gone() -> None:
    plan = plan_of([KEEP, BOND], live(bridge("keep"), *BOND_LIVE, vlan("bond0", 101, of="br0.101")), prune=True)
    assert ops(plan) == ["bridge.vlan.delete"]


DEVICE = (vlan("bond0", 9, of="br0", master="br0"),)


def dependents() -> list[tuple[tuple[Link, ...], tuple[Domain, ...], str, bool]]:
    return [
        ((tap("vnet0", "br0"),), (), "vnet0", False),
        ((link("veth0", "veth", master="br0"),), (), "veth0", False),
        ((vlan("br0", 7, of=None),), (), "br0.7", False),
        ((bridge("br0", addresses=("10.0.0.1/24",)),), (), "10.0.0.1/24", False),
        ((), (domain("web-01", "br0"),), "web-01", False),
        ((), (domain("web-01", "br0", marked=True),), "web-01", True),
        ((), (domain("web-01", "br0", direct=True),), "web-01", False),
        (DEVICE, (domain("web-01", "bond0.9", direct=True),), "web-01", False),
        ((*DEVICE, link("mv0", "macvlan", parent="bond0.9")), (), "mv0", False),
        ((vlan("bond0", 9, of="br0", master="br0", dynamic_addresses=("10.0.0.1/24",)),), (), "10.0.0.1/24", False),
    ]


@pytest.mark.parametrize(("links", "domains", "named", "waiting"), dependents())
def test_prune_refuses_while_somebody_uses_it(
    links: tuple[Link, ...], domains: tuple[Domain, ...], named: str, waiting: bool
) -> None:
    plan = plan_of([KEEP], live(bridge("keep"), bridge("br0"), *links, domains=domains), prune=True)
    change = next(c for c in plan.changes if c.key == Key("Bridge", "br0"))
    (refusal,) = change.refused
    assert (refusal.reason, refusal.waiting) == ("ForeignDependents", waiting)
    assert named in refusal.message
    assert not change.steps


def test_prune_waits_while_libvirt_is_silent() -> None:
    have = live(bridge("br0"), gaps=(Gap(Source.LIBVIRT, "no answer"),))
    world = World(host="cell-01", domain_type="kvm", documents={}, live=have, pools={})
    of = kind("Bridge")
    change = of.plan(None, of.observe("br0", world), world)
    assert not change.steps
    assert change.refused[0].waiting


def test_conditions_tell_about_the_uplink_and_the_ports() -> None:
    def state(*links: Link) -> Condition:
        doc = document("Bridge/br0", {"uplink": "eno1"})
        world = World(host="cell-01", domain_type="kvm", documents={doc.key: doc}, live=live(*links), pools={})
        of = kind("Bridge")
        (condition,) = of.conditions(doc, of.observe("br0", world), world)
        return condition

    well = state(bridge("br0"), nic(), tap("vnet0", "br0"))
    assert (well.status, well.message) == (Truth.FALSE, "ports eno1, vnet0")
    ill = state(bridge("br0"), nic(carrier=False))
    assert (ill.status, ill.reason) == (Truth.TRUE, "UplinkNoCarrier")
    assert state(bridge("br0"), link("eno1")).reason == "UplinkMissing"


def test_a_group_of_ours_with_a_strange_alias_is_not_ours() -> None:
    doc = document("Bridge/br0")
    assert reasons(doc, live(bridge("br0", alias="do not touch"))) == ["Foreign"]
    assert reasons(doc, live(bridge("br0", **ours("Bridge", "br7")))) == ["Conflict"]


def test_a_declared_vlan_or_nic_is_an_uplink_like_any_other() -> None:
    doc, vid = document("Bridge/br0", {"uplink": "storage"}), document("Vlan/storage", {"parent": "bond0", "id": 20})
    plan = plan_of([doc, vid, BOND], live(link("eno1")))
    assert not refusals(plan)
    assert ops(plan)[-1] == "bridge.attach"
    have = live(*BOND_LIVE, own_vlan("storage", "bond0", 20, master="br0"), bridge("br0", ipv6_disabled=True))
    assert not [c for c in plan_of([doc, vid, BOND], have).changes if c.key == doc.key and not c.quiet]
    nic_doc = document("Nic/eno1", {"mtu": 1500})
    refused = plan_of([document("Bridge/br0", {"uplink": "eno1", "mtu": 9000}), nic_doc], live(link("eno1")))
    assert [r.advice for c in refused.changes for r in c.refused] == ["declare mtu 9000 for Nic/eno1"]


def test_planning_many_bridges_costs_no_more_each() -> None:
    """A thousand access bridges in sync; four times as many must not cost sixteen times as much."""

    def seconds(count: int) -> float:
        docs, links = [BOND], list(BOND_LIVE)
        for vid in range(1, count + 1):
            docs.append(document(f"Bridge/br.{vid}", {"uplink": "bond0", "vlan": vid}))
            links += [vlan("bond0", vid, of=f"br.{vid}", master=f"br.{vid}"), bridge(f"br.{vid}")]
        have = live(*links)
        start = time.process_time()
        assert plan_of(docs, have).empty
        return time.process_time() - start

    few, many = min(seconds(300) for _ in range(3)), min(seconds(1200) for _ in range(3))
    assert many < 10 * few
