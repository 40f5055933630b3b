"""What the planner does about NICs: values in, steps out."""

from __future__ import annotations

import msgspec
import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Change, Plan, Risk, Verb
from cell_reconciler.model.condition import Truth
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live, Manager
from cell_reconciler.model.mark import GROUP
from tests.livelinks import bond, bridge, link, live, ours, tap, vlan
from tests.network import document, ops, plan_of, refusals

KEEP = document("Bridge/keep")
CARD = {"permanentMac": "52:54:00:00:00:aa"}


def mine(name: str = "eno1", **more: object) -> Link:
    """A NIC that has a document."""
    return link(name, **{**ours("Nic", name, adopted=True), **more})


def change_of(plan: Plan, name: str = "Nic/eno1") -> Change:
    return next(c for c in plan.changes if c.key == Key.parse(name))


def test_a_document_is_the_adoption_of_what_it_names() -> None:
    plan = plan_of([document("Nic/eno1", {"mtu": 9000})], live(link("eno1", up=False, ipv6_disabled=True)))
    assert change_of(plan).verb == Verb.ADOPT
    assert ops(plan) == ["nic.adopt", "nic.mtu", "nic.up"]
    assert plan.steps[0].action.alias.startswith("cell/v1;Nic/eno1;")
    assert plan.steps[0].action.alias.endswith(";adopted")


def test_an_alias_of_somebody_else_gives_way_and_this_is_said() -> None:
    (change,) = plan_of([document("Nic/eno1")], live(link("eno1", alias="to switch A, port 3"))).changes
    assert change.notes == ("the alias 'to switch A, port 3' of eno1 gives way to our mark",)


def test_in_sync_is_quiet_and_what_is_not_named_is_left_alone() -> None:
    have = live(mine(mtu=4000, addresses=("10.0.0.9/24",), ipv6_disabled=True))
    assert plan_of([document("Nic/eno1")], have).empty


def test_only_our_addresses_are_removed() -> None:
    have = live(mine(addresses=("10.0.0.1/24", "10.0.0.2/24"), owned_addresses=("10.0.0.1/24",)))
    plan = plan_of([document("Nic/eno1", {"addresses": ["10.0.0.3/24"]})], have)
    done = [(s.op, s.action.cidr) for s in plan.steps if "address" in s.op]
    assert done == [("nic.address.add", "10.0.0.3/24"), ("nic.address.delete", "10.0.0.1/24")]


def test_down_says_whom_it_cuts() -> None:
    have = live(mine(), vlan("eno1", 5, of=None, master="br0"), bridge("br0"), tap("vnet0", "br0"))
    plan = plan_of([document("Nic/eno1", {"adminState": "down"})], have)
    assert [(s.op, s.risk) for s in plan.steps] == [("nic.down", Risk.CUTS_VM), ("nic.mark", Risk.NONE)]


@pytest.mark.parametrize(
    ("have", "reason", "named"),
    [
        (live(), "NicMissing", "eno1"),
        (live(bond("eno1", foreign=True)), "Conflict", "Bond"),
        (live(bridge("eno1", foreign=True)), "Conflict", "Bridge"),
        (live(vlan("x", 5, of=None, name="eno1")), "Conflict", "Vlan"),
        (live(link("eno1", "tun")), "Conflict", "VM"),
        (live(link("eno1", permanent_mac="52:54:00:00:00:bb")), "NicMismatch", "52:54:00:00:00:bb"),
    ],
)
def test_what_stands_in_the_way_is_named(have: Live, reason: str, named: str) -> None:
    change = change_of(plan_of([document("Nic/eno1", {"mtu": 9000, "match": CARD})], have))
    (refusal,) = change.refused
    assert (refusal.reason, named in refusal.message + refusal.advice) == (reason, True)
    assert not change.steps


def test_the_wrong_card_is_never_configured_and_the_right_one_is_named() -> None:
    """After eno1 and eno2 changed their names."""
    have = live(
        mine(permanent_mac="52:54:00:00:00:bb", pci="0000:3b:00.1"), link("eno2", permanent_mac="52:54:00:00:00:aa")
    )
    nic = document("Nic/eno1", {"mtu": 9000, "match": CARD})
    (refusal,) = change_of(plan_of([nic], have)).refused
    assert refusal.advice.startswith("eno2 is the one with 52:54:00:00:00:aa")
    for spec, key in (({"members": ["eno1"]}, "Bond/x"), ({"uplink": "eno1"}, "Bridge/x")):
        assert [r.reason for r in change_of(plan_of([nic, document(key, spec)], have), key).refused] == ["NicMismatch"]
    over = document("Vlan/x", {"parent": "eno1", "id": 5})
    assert [r.reason for r in change_of(plan_of([nic, over], have), "Vlan/x").refused] == ["NicMismatch"]


@pytest.mark.parametrize("match", [CARD, {"pci": "0000:3b:00.0"}, {**CARD, "pci": "0000:3b:00.0"}])
def test_the_right_card_is(match: dict[str, str]) -> None:
    """While a bond lends it another address, too."""
    there = mine(mac="52:54:00:00:00:01", permanent_mac="52:54:00:00:00:aa", pci="0000:3b:00.0")
    assert plan_of([document("Nic/eno1", {"match": match})], live(there)).empty
    other_slot = msgspec.structs.replace(there, pci="0000:3b:00.1")
    refused = change_of(plan_of([document("Nic/eno1", {"match": match})], live(other_slot))).refused
    assert bool(refused) == ("pci" in match)


def test_another_manager_of_the_nic_is_respected() -> None:
    have = msgspec.structs.replace(live(link("eno1")), managers={"eno1": Manager(name="NetworkManager")})
    change = change_of(plan_of([document("Nic/eno1", {"mtu": 9000})], have))
    assert [r.reason for r in change.refused] == ["ManagedElsewhere"]
    assert not change.steps
    settled = msgspec.structs.replace(live(mine()), managers={"eno1": Manager(name="NetworkManager")})
    assert plan_of([document("Nic/eno1")], settled).empty


def test_prune_takes_back_what_we_brought_and_leaves_the_nic() -> None:
    have = live(bridge("keep"), mine(addresses=("10.0.0.1/24", "10.0.0.2/24"), owned_addresses=("10.0.0.1/24",)))
    plan = plan_of([KEEP], have, prune=True)
    assert [(s.op, s.deletes) for s in plan.steps] == [("nic.address.delete", False), ("nic.give-up", False)]
    assert plan.steps[0].action.cidr == "10.0.0.1/24"


def test_a_port_that_we_attached_is_not_taken_for_a_nic_of_ours() -> None:
    """It is in our group without an alias, as a link is whose creation was cut short."""
    have = live(bridge("keep"), link("eno1", master="keep", group=GROUP))
    uplink = document("Bridge/keep", {"uplink": "eno1"})
    assert plan_of([uplink], have, prune=True).empty
    assert ops(plan_of([uplink, document("Nic/eno1")], have)) == ["nic.adopt"]


def test_a_nic_with_a_document_is_an_uplink_like_any_other() -> None:
    nic, uplink = document("Nic/eno1", {"mtu": 1500}), document("Bridge/br0", {"uplink": "eno1"})
    assert plan_of([nic, uplink], live(mine(master="br0"), bridge("br0"))).empty
    gone = plan_of([nic, document("Bridge/br0")], live(mine(master="br0"), bridge("br0")))
    assert "bridge.detach" in ops(gone)
    made = plan_of([nic, uplink], live(mine()))
    assert not refusals(made)
    assert "bridge.attach" in ops(made)


def test_a_bridge_does_not_raise_a_nic_that_says_its_own_mtu() -> None:
    nic = document("Nic/eno1", {"mtu": 9000})
    plan = plan_of([nic, document("Bridge/br0", {"uplink": "eno1", "mtu": 9000})], live(link("eno1")))
    assert [s.op for s in plan.steps if s.op.endswith("mtu")][:1] == ["nic.mtu"]
    assert "bridge.nic.mtu" not in ops(plan)


def test_conditions_tell_about_the_carrier() -> None:
    def state(state: str = "up", **more: object) -> tuple[str, str]:
        doc = document("Nic/eno1", {"adminState": state})
        world = World(host="h", domain_type="kvm", documents={doc.key: doc}, live=live(mine(**more)), pools={})
        of = kind("Nic")
        (condition,) = of.conditions(doc, of.observe("eno1", world), world)
        return condition.status, condition.reason

    assert state() == (Truth.FALSE, "NicUp")
    assert state(carrier=False) == (Truth.TRUE, "NicNoCarrier")
    assert state(up=False, carrier=False) == (Truth.TRUE, "NicDown")
    assert state("down", up=False, carrier=False) == (Truth.FALSE, "DeclaredDown")


def test_foreign_are_the_cards_that_nothing_of_ours_uses() -> None:
    have = live(
        *(link("lo"), link("eno1"), mine("eno2"), link("eno3", master="bond0"), bond("bond0")),
        *(link("eno4", master="bond1"), bond("bond1", foreign=True), link("veth0", "veth"), tap("vnet0", "br0")),
        *(link("eno5", group=GROUP, master="br0"), bridge("br0")),
    )
    assert sorted(kind("Nic").foreign(have)) == ["eno1", "eno4"]
    assert [name for name, _ in kind("Nic").owned(have)] == ["eno2"]
