"""What the planner does about VLANs: values in, steps out."""

from __future__ import annotations

import msgspec
import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Change, Plan, Risk, Verb
from cell_reconciler.model.condition import Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Gap, Link, Live, Route, Source
from cell_reconciler.model.mark import GROUP, RTPROT
from tests.livelinks import bond, bridge, domain, link, live, ours, own_vlan, tap, vlan
from tests.network import document, ops, plan_of, refusals

BOND = document("Bond/bond0", {"members": ["eno1"]})
BOND_LIVE = (bond("bond0"), link("eno1", master="bond0"))
V20 = document("Vlan/v20", {"parent": "bond0", "id": 20})
KEEP = document("Bridge/keep")


def other(**fields: object) -> Document:
    """V20 with some fields changed."""
    return document("Vlan/v20", {"parent": "bond0", "id": 20, **fields})


def change_of(plan: Plan, name: str = "Vlan/v20") -> Change:
    return next(c for c in plan.changes if c.key == Key.parse(name))


def test_create_comes_after_the_bond() -> None:
    plan = plan_of([other(mtu=1400, addresses=["10.0.0.1/24"]), BOND], live(link("eno1")))
    assert ops(plan)[-2:] == ["vlan.create", "vlan.address.add"]
    made = plan.steps[-2].action
    assert (made.parent, made.mtu, made.up, made.ipv6, made.mac) == ("bond0", 1400, True, True, None)
    assert made.data == {"vlan_id": 20, "vlan_protocol": "802.1Q", "vlan_flags": 1}
    assert made.alias.startswith("cell/v1;Vlan/v20;")


def test_create_says_what_its_flags_and_protocol_are() -> None:
    doc = other(protocol="802.1ad", gvrp=True, looseBinding=True, reorderHeader=False, mac="52:54:00:aa:bb:cc")
    made = plan_of([doc], live(bond("bond0", foreign=True))).steps[0].action
    assert made.data == {"vlan_id": 20, "vlan_protocol": "802.1ad", "vlan_flags": 6}
    assert (made.mac, made.ipv6) == ("52:54:00:aa:bb:cc", False)


def test_a_nic_that_is_down_is_brought_up_first() -> None:
    doc = document("Vlan/v20", {"parent": "eno1", "id": 20})
    assert ops(plan_of([doc], live(link("eno1", up=False)))) == ["vlan.parent-up", "vlan.create"]
    down = document("Nic/eno1")
    assert ops(plan_of([doc, down], live(link("eno1", up=False)))) == ["nic.adopt", "nic.up", "vlan.create"]


def test_in_sync_is_quiet() -> None:
    assert plan_of([V20, BOND], live(*BOND_LIVE, own_vlan("v20", "bond0", 20))).empty


def test_live_changes() -> None:
    have = live(*BOND_LIVE, own_vlan("v20", "bond0", 20, up=False, data={"vlan_flags": 0x11}))
    plan = plan_of([other(gvrp=True, mtu=1400, mac="52:54:00:aa:bb:cc"), BOND], have)
    assert ops(plan) == ["vlan.flags", "vlan.mtu", "vlan.mac", "vlan.up", "vlan.mark"]
    assert plan.steps[0].action.data == {"vlan_flags": 0x13}, "a flag that we do not know of stays"


@pytest.mark.parametrize("fields", [{"id": 30}, {"protocol": "802.1ad"}, {"parent": "eno9"}])
def test_another_identity_is_a_replacement(fields: dict[str, object]) -> None:
    plan = plan_of([other(**fields), BOND], live(*BOND_LIVE, link("eno9"), own_vlan("v20", "bond0", 20)))
    change = change_of(plan)
    assert change.verb == Verb.REPLACE
    assert ops(plan) == ["vlan.replace", "vlan.mark"]
    assert (plan.steps[0].risk, plan.steps[0].why) == (Risk.NONE, "")


def test_a_replacement_says_whom_it_cuts_and_waits_for_permission() -> None:
    """Scenario 16."""
    have = live(
        *BOND_LIVE,
        own_vlan("v20", "bond0", 20, master="br0"),
        bridge("br0"),
        tap("vnet0", "br0"),
        domains=(domain("web-01", "br0", dev="vnet0"),),
    )
    documents = [other(id=30), BOND, document("Bridge/br0", {"uplink": "v20"})]
    refused = plan_of(documents, have, allow=Risk.CUTS_MANAGEMENT)
    assert not refused.steps
    (refusal,) = change_of(refused).refused
    assert refusal.reason == "NeedsPermission"
    assert "replace v20, VLAN 20 on bond0, by VLAN 30 on bond0 (carries vnet0 of web-01 (br0))" in refusal.message
    assert change_of(refused).verb == Verb.REPLACE
    allowed = plan_of(documents, have)
    assert (allowed.steps[0].op, allowed.steps[0].risk) == ("vlan.replace", Risk.CUTS_VM)


def test_a_replacement_of_the_management_path_says_so() -> None:
    addresses = {"addresses": ("10.0.0.1/24",), "owned_addresses": ("10.0.0.1/24",)}
    have = live(*BOND_LIVE, own_vlan("v20", "bond0", 20, **addresses))
    step = plan_of([other(id=30, addresses=["10.0.0.1/24"]), BOND], have).steps[0]
    assert (step.op, step.risk, step.why) == ("vlan.replace", Risk.CUTS_MANAGEMENT, "carries 10.0.0.1/24 (v20)")


def test_a_protected_vlan_is_not_replaced() -> None:
    doc = msgspec.structs.replace(other(id=30), annotations={"cell/protect": "true"})
    plan = plan_of([doc, BOND], live(*BOND_LIVE, own_vlan("v20", "bond0", 20)))
    assert [r.reason for r in change_of(plan).refused] == ["Protected"]


def test_a_replacement_takes_vlans_of_ours_along_and_refuses_what_is_not() -> None:
    def plan(upper: Link) -> Plan:
        return plan_of([other(id=30), BOND], live(*BOND_LIVE, own_vlan("v20", "bond0", 20), upper))

    assert not refusals(plan(own_vlan("v20.7", "v20", 7)))
    for upper in (vlan("v20", 7, of=None), link("mv0", "macvlan", parent="v20"), link("mt0", "macvtap", parent="v20")):
        (refusal,) = change_of(plan(upper)).refused
        assert (refusal.reason, upper.name in refusal.message) == ("ForeignDependents", True)
    with_lease = own_vlan("v20", "bond0", 20, dynamic_addresses=("10.0.0.9/24",))
    assert "10.0.0.9/24" in refusals(plan_of([other(id=30), BOND], live(*BOND_LIVE, with_lease)))[0]


@pytest.mark.parametrize(
    ("doc", "have", "reason", "named"),
    [
        (V20, live(), "NicMissing", "bond0"),
        (V20, live(*BOND_LIVE, vlan("bond0", 20, of=None, name="storage")), "Conflict", "storage"),
        (V20, live(*BOND_LIVE, link("v20", "dummy")), "Conflict", "dummy"),
        (V20, live(*BOND_LIVE, vlan("bond0", 20, of=None, name="v20")), "Foreign", "v20"),
        (V20, live(*BOND_LIVE, vlan("bond0", 20, of=None, name="v20", **ours("Bridge", "br7"))), "Conflict", "br7"),
        (other(mtu=9000), live(*BOND_LIVE), "Conflict", "1500"),
        (other(mtu=9000), live(*BOND_LIVE, own_vlan("v20", "bond0", 20)), "Conflict", "1500"),
        (other(parent="eno1"), live(*BOND_LIVE), "Conflict", "member of bond0"),
    ],
)
def test_what_stands_in_the_way_is_named(doc: Document, have: Live, reason: str, named: str) -> None:
    change = change_of(plan_of([doc], have))
    (refusal,) = change.refused
    assert (refusal.reason, named in refusal.message) == (reason, True)
    assert not change.steps


def test_what_works_goes_on_working() -> None:
    """The parent's document may object to nothing that is there already."""
    have = live(*BOND_LIVE, own_vlan("v20", "bond0", 20, mtu=9000), link("v9", "vlan"))
    assert plan_of([V20, BOND], have).empty


def test_a_creation_that_was_cut_short_is_finished() -> None:
    """In our group, and without the alias that comes last."""
    plan = plan_of([V20, BOND], live(*BOND_LIVE, vlan("bond0", 20, of=None, name="v20", group=GROUP, up=False)))
    assert ops(plan) == ["vlan.up", "vlan.mark"]


def test_an_uplink_of_a_bridge_of_ours_that_somebody_else_made_is_not_ours() -> None:
    have = live(*BOND_LIVE, vlan("bond0", 20, of=None, name="v20", group=GROUP, master="br0"), bridge("br0"))
    assert [r.reason for r in change_of(plan_of([V20, BOND], have)).refused] == ["Foreign"]
    assert not [c for c in plan_of([KEEP, BOND], have, prune=True).changes if c.key.kind == "Vlan"]


def test_adoption_compares_the_named_fields_only() -> None:
    have = live(*BOND_LIVE, vlan("bond0", 20, of=None, name="v20", data={"vlan_flags": 7}, mtu=1400))
    doc = document("Vlan/v20", {"parent": "bond0", "id": 20}, adopt=True)
    plan = plan_of([doc, BOND], have)
    assert ops(plan) == ["vlan.adopt"]
    assert plan.steps[0].action.alias.endswith(";adopted")


def test_the_vlan_device_of_a_bridge_is_taken_over_by_adoption_only() -> None:
    have = live(*BOND_LIVE, vlan("bond0", 20, of="br0", master="br0"), bridge("br0"))
    spec, bridge_doc = {"parent": "bond0", "id": 20}, document("Bridge/br0", {"uplink": "bond0.20"})
    refused = change_of(plan_of([document("Vlan/bond0.20", spec), BOND, bridge_doc], have), "Vlan/bond0.20")
    assert "cell/adopt" in refused.refused[0].advice
    plan = plan_of([document("Vlan/bond0.20", spec, adopt=True), BOND, bridge_doc], have)
    assert not refusals(plan)
    assert ops(plan)[0] == "vlan.adopt"


def test_a_vlan_moves_to_another_name_when_the_old_one_is_pruned() -> None:
    doc = document("Vlan/storage", {"parent": "bond0", "id": 20})
    plan = plan_of([doc, BOND], live(*BOND_LIVE, own_vlan("v20", "bond0", 20)), prune=True)
    assert ops(plan) == ["vlan.delete", "vlan.create"]


def test_vlans_follow_each_other_and_a_circle_is_refused() -> None:
    have = live(*BOND_LIVE, own_vlan("a", "bond0", 1), own_vlan("b", "bond0", 2))
    chain = [document("Vlan/a", {"parent": "bond0", "id": 2}), document("Vlan/b", {"parent": "bond0", "id": 3}), BOND]
    plan = plan_of(chain, have)
    assert [f"{s.key.name}:{s.op}" for s in plan.steps if s.op == "vlan.replace"] == [
        "b:vlan.replace",
        "a:vlan.replace",
    ]
    circle = [document("Vlan/a", {"parent": "bond0", "id": 2}), document("Vlan/b", {"parent": "bond0", "id": 1}), BOND]
    assert [text.split(":")[1] for text in refusals(plan_of(circle, have))] == [" Conflict", " Conflict"]


def test_prune_goes_from_the_top() -> None:
    have = live(bridge("keep"), *BOND_LIVE, own_vlan("v20", "bond0", 20), own_vlan("v20.7", "v20", 7))
    plan = plan_of([KEEP], have, prune=True)
    done = [f"{step.key}:{step.op}" for step in plan.steps]
    assert not refusals(plan)
    assert (
        done.index("Vlan/v20.7:vlan.delete") < done.index("Vlan/v20:vlan.delete") < done.index("Bond/bond0:bond.delete")
    )


ADDRESS = {"addresses": ("10.0.0.1/24",)}
STATIC = Route(to="10.9.0.0/16", link="v20", via="10.0.0.1", protocol=4)


@pytest.mark.parametrize(
    ("own", "others", "domains", "routes", "named"),
    [
        ({}, (vlan("v20", 7, of=None),), (), (), "v20.7"),
        ({}, (own_vlan("inner", "v20", 7),), (), (), "inner"),
        ({"master": "virbr0"}, (bridge("virbr0", foreign=True),), (), (), "virbr0"),
        ({"master": "br0"}, (bridge("br0"),), (), (), "Bridge/br0"),
        (ADDRESS, (), (), (), "10.0.0.1/24"),
        ({}, (), (), (STATIC,), "10.9.0.0/16"),
        ({}, (), (domain("web-01", "v20", direct=True),), (), "web-01"),
    ],
)
def test_prune_refuses_while_somebody_uses_it(
    own: dict[str, object], others: tuple[Link, ...], domains: tuple[Domain, ...], routes: tuple[Route, ...], named: str
) -> None:
    documents = [
        KEEP,
        BOND,
        document("Vlan/inner", {"parent": "v20", "id": 7}),
        document("Bridge/br0", {"uplink": "v20"}),
    ]
    there = live(bridge("keep"), *BOND_LIVE, own_vlan("v20", "bond0", 20, **own), *others, domains=domains)
    plan = plan_of(documents, msgspec.structs.replace(there, routes=routes), prune=True)
    change = change_of(plan)
    assert [r.reason for r in change.refused] == ["ForeignDependents"]
    assert named in change.refused[0].message
    assert not change.steps


def test_a_route_of_ours_goes_with_the_link() -> None:
    mine = msgspec.structs.replace(STATIC, protocol=RTPROT)
    there = live(bridge("keep"), *BOND_LIVE, own_vlan("v20", "bond0", 20))
    assert ops(plan_of([KEEP, BOND], msgspec.structs.replace(there, routes=(mine,)), prune=True))[-1] == "vlan.delete"


def test_prune_waits_while_libvirt_is_silent() -> None:
    have = live(own_vlan("v20", "bond0", 20), gaps=(Gap(Source.LIBVIRT, "no answer"),))
    world = World(host="cell-01", domain_type="kvm", documents={}, live=have, pools={})
    of = kind("Vlan")
    change = of.plan(None, of.observe("v20", world), world)
    assert not change.steps
    assert change.refused[0].waiting


def test_references_name_the_parent_of_any_kind_if_it_is_declared() -> None:
    for name in ("Nic/bond0", "Bond/bond0", "Vlan/bond0", "Bridge/bond0"):
        spec = {"parent": "eno1", "id": 1} if name.startswith("Vlan") else {}
        parent = document(name, spec)
        assert [r.target for r in kind("Vlan").references(V20, {parent.key: parent, V20.key: V20})] == [parent.key]
    assert list(kind("Vlan").references(V20, {V20.key: V20})) == []


def test_conditions_tell_about_the_carrier() -> None:
    def state(**more: object) -> tuple[str, str]:
        world = World(
            host="h",
            domain_type="kvm",
            documents={V20.key: V20},
            live=live(own_vlan("v20", "bond0", 20, **more)),
            pools={},
        )
        of = kind("Vlan")
        (condition,) = of.conditions(V20, of.observe("v20", world), world)
        return condition.status, condition.reason

    assert state() == (Truth.FALSE, "LinkUp")
    assert state(carrier=False) == (Truth.TRUE, "NoCarrier")
    assert state(up=False) == (Truth.TRUE, "LinkDown")
