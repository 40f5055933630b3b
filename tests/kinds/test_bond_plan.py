"""What the planner does about bonds: values in, steps out."""

from __future__ import annotations

import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Risk, Verb
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain, Gap, Link, Live, Source
from tests.livelinks import bond, bridge, domain, link, live, ours, own_vlan, tap, vlan
from tests.network import document, ops, plan_of, refusals

NICS = (link("eno1", permanent_mac="52:54:00:00:00:aa"), link("eno2"))
DOC = document("Bond/bond0", {"members": ["eno2", "eno1"]})


def members(of: str, *names: str, **more: object) -> tuple[Link, ...]:
    return tuple(link(name, master=of, port={"bond_slave_mii_status": "up"}, **more) for name in names)


def state(doc: Document, have: Live) -> Condition:
    world = World(host="cell-01", domain_type="kvm", documents={doc.key: doc}, live=have, pools={})
    of = kind("Bond")
    (condition,) = of.conditions(doc, of.observe(doc.key.name, world), world)
    return condition


def test_create_pins_the_address_of_the_first_member() -> None:
    plan = plan_of([DOC], live(*NICS))
    assert ops(plan) == ["bond.create", "bond.enslave", "bond.enslave", "bond.up"]
    assert plan.steps[0].action.mac == "52:54:00:00:00:aa", "that of eno1, though eno2 is written first"
    assert plan.changes[0].verb == Verb.CREATE
    assert plan.changes[0].risk == Risk.NONE


def test_a_bond_in_sync_is_quiet() -> None:
    have = live(bond("bond0"), *members("bond0", "eno1", "eno2"))
    assert plan_of([DOC], have).empty


def test_the_order_of_members_does_not_matter() -> None:
    have = live(bond("bond0"), *members("bond0", "eno1", "eno2"))
    assert plan_of([document("Bond/bond0", {"members": ["eno1", "eno2"]})], have).empty


def test_a_missing_nic_is_refused_and_the_rest_is_built() -> None:
    plan = plan_of([DOC], live(NICS[0]))
    assert [r.reason for r in plan.changes[0].refused] == ["NicMissing"]
    assert ops(plan) == ["bond.create", "bond.enslave", "bond.up"]
    nothing = plan_of([DOC], live())
    assert ops(nothing) == []
    assert len(nothing.changes[0].refused) == 2


def test_a_foreign_bond_is_refused_and_adopted_on_demand() -> None:
    have = live(bond("bond0", foreign=True), *members("bond0", "eno1"), link("eno2"))
    plan = plan_of([DOC], have)
    assert [r.reason for r in plan.changes[0].refused] == ["Foreign"]
    assert "cell/adopt" in plan.changes[0].refused[0].advice
    assert not plan.steps
    adopted = plan_of([document("Bond/bond0", {"members": ["eno1"]}, adopt=True)], have)
    assert ops(adopted) == ["bond.adopt"]
    assert adopted.changes[0].verb == Verb.ADOPT


def test_of_an_adopted_bond_only_named_fields_are_ours() -> None:
    have = live(bond("bond0", foreign=True, mode="802.3ad"), *members("bond0", "eno1"))
    plan = plan_of([document("Bond/bond0", {"miimon": 50}, adopt=True)], have)
    assert [f.path for f in plan.changes[0].fields] == ["spec.miimon"]
    assert ops(plan) == ["bond.adopt", "bond.set"]


def test_a_creation_that_was_cut_short_is_ours_and_gets_its_mark() -> None:
    half = bond("bond0", alias=None)
    plan = plan_of([DOC], live(half, *members("bond0", "eno1", "eno2")))
    assert ops(plan) == ["bond.mark"]
    assert not refusals(plan)


def test_an_alias_that_people_wrote_is_not_a_mark() -> None:
    plan = plan_of([DOC], live(bond("bond0", alias="uplink of rack 7"), *NICS))
    assert [r.reason for r in plan.changes[0].refused] == ["Foreign"]


def test_mode_changes_in_place_and_says_what_rides_on_it() -> None:
    doc = document("Bond/bond0", {"members": ["eno1", "eno2"], "mode": "802.3ad"})
    base = (bond("bond0"), *members("bond0", "eno1", "eno2"))
    alone = plan_of([doc], live(*base)).steps[0]
    assert (alone.op, alone.risk) == ("bond.rebuild", Risk.DISRUPTIVE)

    addressed = live(bond("bond0", master="br0"), *base[1:], bridge("br0", addresses=("10.0.0.1/24",)))
    step = plan_of([doc], addressed).steps[0]
    assert step.risk == Risk.CUTS_MANAGEMENT
    assert step.why == "carries 10.0.0.1/24 (br0)"

    with_vm = live(
        *base,
        vlan("bond0", 101, of="br0.101", master="br0.101"),
        bridge("br0.101"),
        tap("vnet3", "br0.101"),
        domains=(domain("web-01", "br0.101", dev="vnet3"),),
    )
    step = plan_of([doc], with_vm).steps[0]
    assert step.risk == Risk.CUTS_VM
    assert step.why == "carries vnet3 of web-01 (br0.101)"


def test_dhcp_addresses_count_as_the_way_to_the_host() -> None:
    doc = document("Bond/bond0", {"members": ["eno1", "eno2"], "mode": "802.3ad"})
    have = live(bond("bond0", dynamic_addresses=("10.0.0.1/24",)), *members("bond0", "eno1", "eno2"))
    assert plan_of([doc], have).steps[0].risk == Risk.CUTS_MANAGEMENT


def test_live_changes_blip_at_most() -> None:
    doc = document("Bond/bond0", {"members": ["eno1"], "miimon": 50, "mtu": 9000, "mac": "52:54:00:00:00:99"})
    have = live(bond("bond0", addresses=("10.0.0.1/24",)), *members("bond0", "eno1"))
    plan = plan_of([doc], have)
    assert ops(plan) == ["bond.set", "bond.mtu", "bond.mac", "bond.mark"]
    assert plan.changes[0].risk == Risk.BLIP


def test_a_new_member_comes_before_an_old_one_goes() -> None:
    doc = document("Bond/bond0", {"members": ["eno2"]})
    have = live(bond("bond0", addresses=("10.0.0.1/24",)), *members("bond0", "eno1"), link("eno2"))
    plan = plan_of([doc], have)
    assert ops(plan) == ["bond.enslave", "bond.release", "bond.mark"]
    assert plan.changes[0].risk == Risk.BLIP
    nothing_left = plan_of([document("Bond/bond0")], have)
    assert nothing_left.changes[0].risk == Risk.CUTS_MANAGEMENT


def test_two_bonds_swap_their_members() -> None:
    a, b = document("Bond/a", {"members": ["eno2"]}), document("Bond/b", {"members": ["eno1"]})
    plan = plan_of([a, b], live(bond("a"), bond("b"), *members("a", "eno1"), *members("b", "eno2")))
    done = [f"{step.key.name}:{step.op}" for step in plan.steps]
    assert not refusals(plan)
    assert done.index("a:bond.release") < done.index("b:bond.enslave")
    assert done.index("b:bond.release") < done.index("a:bond.enslave")


@pytest.mark.parametrize(
    ("nic", "others", "named"),
    [
        (link("eno1", addresses=("10.0.0.1/24",)), (), "10.0.0.1/24"),
        (link("eno1", dynamic_addresses=("10.0.0.1/24",)), (), "10.0.0.1/24"),
        (link("eno1", master="br-x"), (bridge("br-x", foreign=True),), "br-x"),
        (link("eno1", master="team0"), (link("team0", "team"),), "team0"),
        (link("eno1"), (vlan("eno1", 7, of=None),), "eno1.7"),
        (bridge("eno1", foreign=True), (), "bridge"),
    ],
)
def test_a_nic_in_use_is_a_conflict_that_names_the_user(nic: Link, others: tuple[Link, ...], named: str) -> None:
    plan = plan_of([document("Bond/bond0", {"members": ["eno1"]})], live(nic, *others))
    (refusal,) = plan.changes[0].refused
    assert refusal.reason == "Conflict"
    assert named in refusal.message
    assert not plan.steps


def test_a_link_local_address_is_no_reason_to_refuse() -> None:
    plan = plan_of([document("Bond/bond0", {"members": ["eno1"]})], live(link("eno1", addresses=("fe80::5/64",))))
    assert not refusals(plan)


def test_a_bridge_moves_from_a_nic_to_a_bond_of_that_nic() -> None:
    bond0 = document("Bond/bond0", {"members": ["eno1"]})
    br0 = document("Bridge/br0", {"uplink": "bond0"})
    have = live(bridge("br0"), link("eno1", master="br0", group=0xCE11), link("bond9", "dummy"))
    plan = plan_of([bond0, br0], have)
    assert not refusals(plan)
    names = ops(plan)
    assert names.index("bond.enslave") < names.index("bridge.attach")
    assert next(s for s in plan.steps if s.op == "bond.enslave").risk == Risk.NONE, "nothing was on the bridge"


def test_primary_is_set_after_the_members_and_taken_back() -> None:
    doc = document("Bond/bond0", {"members": ["eno1", "eno2"], "primary": "eno2"})
    assert ops(plan_of([doc], live(*NICS)))[-2:] == ["bond.primary", "bond.up"]
    have = live(bond("bond0", data={"bond_primary": "eno2"}), *members("bond0", "eno1", "eno2"))
    assert plan_of([doc], have).empty
    back = plan_of([DOC], have)
    assert [(f.path, f.have, f.want) for f in back.changes[0].fields] == [("spec.primary", "eno2", None)]
    assert back.steps[0].action.primary is None


def test_members_that_others_took_down_or_shrank_are_repaired() -> None:
    have = live(
        bond("bond0", mtu=9000, up=False),
        *members("bond0", "eno1", mtu=1300, up=False),
        *members("bond0", "eno2", mtu=9000),
    )
    assert ops(plan_of([DOC], have)) == ["bond.member-mtu", "bond.member-up", "bond.up", "bond.mark"]


def test_ignored_fields_are_shown_and_left_alone() -> None:
    doc = document("Bond/bond0", {"members": ["eno1"], "miimon": 50})
    doc = type(doc)(
        **{f: getattr(doc, f) for f in doc.__struct_fields__} | {"annotations": {"cell/ignore": "/spec/miimon"}}
    )
    plan = plan_of([doc], live(bond("bond0"), *members("bond0", "eno1")))
    assert [f.ignored for f in plan.changes[0].fields] == [True]
    assert (plan.changes[0].verb, plan.steps) == (Verb.NONE, ())


OTHER = document("Bridge/other")


def test_prune_releases_the_members_and_deletes() -> None:
    plan = plan_of([OTHER], live(bridge("other"), bond("bond0"), *members("bond0", "eno1", "eno2")), prune=True)
    assert ops(plan) == ["bond.release", "bond.release", "bond.delete"]
    assert plan.steps[-1].deletes


@pytest.mark.parametrize(
    "upper",
    [
        (vlan("bond0", 7, of=None),),
        (bridge("other"), vlan("bond0", 7, of="other", master="other")),
    ],
)
def test_prune_refuses_while_somebody_stands_on_it(upper: tuple[Link, ...]) -> None:
    doc = document("Bridge/other", {"uplink": "bond0", "vlan": 7}) if len(upper) > 1 else document("Bridge/o2")
    plan = plan_of([doc], live(bond("bond0"), *members("bond0", "eno1"), *upper), prune=True)
    change = next(c for c in plan.changes if c.key.kind == "Bond")
    assert [r.reason for r in change.refused] == ["ForeignDependents"]
    assert not change.steps


@pytest.mark.parametrize(
    ("addresses", "domains", "named", "waiting"),
    [
        ((), (domain("web-01", "bond0", direct=True),), "web-01", False),
        ((), (domain("web-01", "bond0", direct=True, marked=True),), "web-01", True),
        (("10.0.0.1/24",), (), "10.0.0.1/24", False),
    ],
)
def test_prune_refuses_while_somebody_uses_it(
    addresses: tuple[str, ...], domains: tuple[Domain, ...], named: str, waiting: bool
) -> None:
    there = live(bridge("other"), bond("bond0", addresses=addresses), *members("bond0", "eno1"), domains=domains)
    plan = plan_of([OTHER], there, prune=True)
    change = next(c for c in plan.changes if c.key.kind == "Bond")
    assert [(r.reason, r.waiting) for r in change.refused] == [("ForeignDependents", waiting)]
    assert named in change.refused[0].message
    assert not change.steps


STAYING = {
    "protected": (bridge("br0", **ours("Bridge", "br0", protected=True)), vlan("bond0", 5, of="br0", master="br0")),
    "adopted, so given up": (
        bridge("br0", **ours("Bridge", "br0", adopted=True)),
        vlan("bond0", 5, of="br0", master="br0"),
    ),
    "with a tap of somebody else": (bridge("br0"), vlan("bond0", 5, of="br0", master="br0"), tap("vnet0", "br0")),
    "with a VLAN of somebody else": (own_vlan("v5", "bond0", 5), vlan("v5", 7, of=None)),
    "with a protected bridge on it": (
        own_vlan("v5", "bond0", 5, master="br0"),
        bridge("br0", **ours("Bridge", "br0", protected=True)),
    ),
}


@pytest.mark.parametrize("above", STAYING.values(), ids=STAYING)
def test_what_stays_on_it_keeps_a_bond_with_its_members(above: tuple[Link, ...]) -> None:
    """A deletion begins with the members: what is on the bond would be cut off, though it stays."""
    plan = plan_of([OTHER], live(bridge("other"), bond("bond0"), *members("bond0", "eno1"), *above), prune=True)
    assert not [step for step in plan.steps if step.deletes or step.key.kind in ("Bond", "Vlan")]
    change = next(c for c in plan.changes if c.key.kind == "Bond")
    assert change.refused[0].waiting


def test_prune_waits_while_libvirt_is_silent() -> None:
    have = live(bond("bond0"), gaps=(Gap(Source.LIBVIRT, "no answer"),))
    world = World(host="cell-01", domain_type="kvm", documents={}, live=have, pools={})
    of = kind("Bond")
    change = of.plan(None, of.observe("bond0", world), world)
    assert not change.steps
    assert change.refused[0].waiting


def test_bond_and_bridge_go_together_top_down() -> None:
    have = live(
        bridge("other"), bond("bond0", master="br0"), *members("bond0", "eno1"), bridge("br0"), bridge("br0.5"),
        vlan("bond0", 5, of="br0.5", master="br0.5"),
    )  # fmt: skip
    plan = plan_of([OTHER], have, prune=True)
    assert not refusals(plan)
    done = [f"{step.key.name}:{step.op}" for step in plan.steps]
    assert done[-1] == "bond0:bond.delete"
    assert done.index("br0:bridge.delete") < done.index("bond0:bond.release")


def test_an_adopted_bond_is_given_up_and_stays() -> None:
    adopted = bond("bond0")
    marked = link("bond0", "bond", data=adopted.data, group=adopted.group, alias=f"{adopted.alias};adopted")
    plan = plan_of([OTHER], live(bridge("other"), marked), prune=True)
    assert ops(plan) == ["bond.give-up"]


def test_conditions_tell_what_is_wrong_and_who_works() -> None:
    data = {"bond_active_slave": "eno2"}
    well = state(DOC, live(bond("bond0", data=data), *members("bond0", "eno1", "eno2")))
    assert (well.status, well.message) == (Truth.FALSE, "active member eno2")
    ill = state(
        DOC, live(bond("bond0", data=data), *members("bond0", "eno1", carrier=False), *members("bond0", "eno2"))
    )
    assert (ill.status, ill.reason) == (Truth.TRUE, "MemberNoCarrier")
    assert ill.message == "eno1 has no carrier; active member eno2"
    assert state(DOC, live(bond("bond0"), *members("bond0", "eno1"))).reason == "MemberMissing"
