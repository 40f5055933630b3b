"""The declared table of a bond's options: it is whole, its words are the kernel's, and every way through it ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect as mi

from cell_reconciler.drivers.netlink import facts, wire
from cell_reconciler.kinds.bond import options
from cell_reconciler.kinds.bond.modes import ALL_MODES, BondMode
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from tests.kinds.bonds import MemoryHost, another, bonds
from tests.network import document, ops, problems, refusals

NOT_OPTIONS = {"IFLA_BOND_UNSPEC", "IFLA_BOND_MODE", "IFLA_BOND_AD_INFO"}


def test_the_table_has_every_option_that_the_kernel_has() -> None:
    ours = {"IFLA_" + field.extra["netlink"].upper() for field in options.FIELDS.values()}
    kernels = {name for name, _ in wire.bond.nla_map} - NOT_OPTIONS
    assert ours - {"IFLA_BOND_SLAVE_PRIO", "IFLA_BOND_SLAVE_QUEUE_ID"} == kernels


def test_words_are_the_kernels() -> None:
    assert tuple(BondMode) == facts.BOND_MODES
    for field in options.FIELDS.values():
        if isinstance(field.type, mi.LiteralType):
            assert set(facts.ENUMS[field.extra["netlink"]].values()) == set(field.type.values), field.yaml


def test_what_the_declaration_knows_is_in_the_text() -> None:
    rate = options.FIELDS["lacp_rate"]
    assert rate.text.endswith("Only in mode 802.3ad. Absent: `slow`.")
    assert "Kernels from 6.17 on." in options.FIELDS["broadcast_neighbor"].text
    assert "Only in modes active-backup, balance-tlb and balance-alb." in options.FIELDS["primary"].text


@pytest.mark.parametrize("mode", list(BondMode))
@pytest.mark.parametrize("name", list(options.FIELDS))
def test_an_option_is_a_problem_exactly_in_the_modes_that_lack_it(name: str, mode: BondMode) -> None:
    field = options.FIELDS[name]
    spec = {"members": ["eno1", "eno2", "eno3"], "mode": str(mode), field.yaml: another(field)}
    found = problems(document("Bond/bond0", spec))
    assert ("option-mode" in found) == (mode not in field.extra["modes"])


@given(bonds())
def test_a_creation_sends_only_what_the_document_says_and_its_mode_takes(doc: Document) -> None:
    sent = options.creation(doc.spec)
    given_ones = {field.extra["netlink"] for field in options.given(doc.spec)}
    assert set(sent) <= given_ones | {"bond_mode", "bond_miimon"}
    for name, field in options.PLAIN.items():
        if field.extra["netlink"] in sent:
            assert options.counts(name, doc.spec.mode), name
    assert not (sent.get("bond_miimon") and sent.get("bond_arp_interval"))


def told(doc: Document) -> Document:
    """Without the options that the kernel in memory, like 6.1, does not have."""
    spec = {k: v for k, v in doc.given["spec"].items() if k not in ("broadcastNeighbor", "coupledControl")}
    return document(str(doc.key), spec)


@given(bonds().map(told))
def test_a_new_bond_is_as_declared_at_once(doc: Document) -> None:
    host = MemoryHost()
    host.converge(doc)
    assert host.link("bond0").up


@given(bonds().map(told), bonds().map(told))
def test_any_bond_becomes_any_other_and_inherits_nothing(first: Document, second: Document) -> None:
    host, fresh = MemoryHost(), MemoryHost()
    host.converge(first)
    index = host.link("bond0").index
    host.converge(second)
    fresh.converge(second)
    bond, new = host.link("bond0"), fresh.link("bond0")
    assert bond.index == index
    counting = {f.extra["netlink"] for n, f in options.PLAIN.items() if options.counts(n, second.spec.mode)}
    assert {k: v for k, v in bond.data.items() if k in counting} == {k: v for k, v in new.data.items() if k in counting}
    for nic in second.spec.members:
        assert host.link(nic).port.get("bond_slave_queue_id") == fresh.link(nic).port.get("bond_slave_queue_id")


@given(bonds().map(told), st.sampled_from(sorted(ALL_MODES)))
def test_options_that_a_mode_does_not_have_do_not_come_back(doc: Document, mode: BondMode) -> None:
    host = MemoryHost()
    host.converge(doc)
    host.converge(document("Bond/bond0", {"members": list(doc.spec.members), "mode": str(mode)}))
    host.converge(document("Bond/bond0", {"members": list(doc.spec.members), "mode": str(doc.spec.mode)}))
    bond = host.link("bond0").data
    assert {k: bond[k] for k in ("bond_ad_lacp_rate", "bond_packets_per_slave", "bond_missed_max")} == {
        "bond_ad_lacp_rate": "slow",
        "bond_packets_per_slave": 1,
        "bond_missed_max": 2,
    }
    assert "bond_primary" not in bond


def _adopted(host: MemoryHost, data: dict[str, Any], spec: dict[str, Any]) -> Any:
    door = host.doors.netlink
    door.create_link("bond0", "bond", data=data, group=0)
    door.set_link("eno1", up=False)
    door.set_link("eno1", master="bond0")
    door.set_link("bond0", up=True)
    host.converge(document("Bond/bond0", spec, adopt=True))
    return host.link("bond0").data


def test_of_an_adopted_bond_what_is_not_named_is_kept() -> None:
    data = {"bond_mode": "802.3ad", "bond_miimon": 100, "bond_updelay": 200, "bond_ad_lacp_rate": "fast"}
    kept = _adopted(MemoryHost(), data, {"minLinks": 1})
    assert (kept["bond_ad_lacp_rate"], kept["bond_updelay"], kept["bond_min_links"]) == ("fast", 200, 1)
    faster = _adopted(MemoryHost(), data, {"miimon": 50})
    assert (faster["bond_miimon"], faster["bond_updelay"]) == (50, 200), "the kernel would have made 100 of it"
    slower = _adopted(MemoryHost(), data, {"miimon": 150})
    assert slower["bond_updelay"] == 150, "there is no 200 any more"
    rounded = _adopted(MemoryHost(), data, {"updelay": 250})
    assert rounded["bond_updelay"] == 200, "no difference for ever"


def test_an_option_of_another_mode_than_an_adopted_bond_has_is_refused() -> None:
    host = MemoryHost()
    host.doors.netlink.create_link("bond0", "bond", data={"bond_mode": "balance-rr"}, group=0)
    plan = host.plan(document("Bond/bond0", {"lacpRate": "fast"}, adopt=True))
    assert refusals(plan) == ["Bond/bond0: Conflict: bond0 is in mode balance-rr, which has no lacpRate"]


def test_an_option_that_the_kernel_lacks_is_refused_and_the_rest_is_done() -> None:
    host = MemoryHost()
    spec = {"members": ["eno1"], "mode": "802.3ad"}
    host.converge(document("Bond/bond0", spec))
    plan = host.apply(document("Bond/bond0", {**spec, "broadcastNeighbor": True, "lacpRate": "fast"}))
    (said,) = refusals(plan)
    assert said.startswith("Bond/bond0: Unsupported: the running kernel's bonding driver has no broadcast_neigh, so ")
    assert host.link("bond0").data["bond_ad_lacp_rate"] == "fast"


def test_what_needs_the_bond_down_comes_in_one_action_and_before_the_rest() -> None:
    host = MemoryHost()
    spec: dict[str, Any] = {"members": ["eno1", "eno2"], "mode": "802.3ad"}
    host.converge(document("Bond/bond0", spec))
    plan = host.converge(
        document("Bond/bond0", {**spec, "lacpRate": "fast", "adSelect": "count", "adUserPortKey": 7, "minLinks": 1})
    )
    assert ops(plan) == ["bond.reconfigure", "bond.set", "bond.mark"]
    assert plan.steps[0].text == (
        "set lacpRate fast, adSelect count, adUserPortKey 7 of bond0, for which it goes down and up"
    )
    back = host.converge(document("Bond/bond0", spec))
    assert {f.path: f.want for f in back.changes[0].fields} == {
        "spec.minLinks": 0,
        "spec.lacpRate": "slow",
        "spec.adSelect": "stable",
        "spec.adUserPortKey": 0,
    }


def test_an_option_that_needs_the_bond_empty_leaves_it_up_and_with_its_address() -> None:
    host = MemoryHost()
    spec: dict[str, Any] = {"members": ["eno1", "eno2"], "queueId": {"eno2": 3}}
    host.converge(document("Bond/bond0", spec))
    mac = host.link("bond0").mac
    plan = host.converge(document("Bond/bond0", {**spec, "failOverMac": "follow"}))
    assert ops(plan)[0] == "bond.reconfigure"
    assert "goes down" not in plan.steps[0].text
    assert (host.link("bond0").mac, host.link("eno2").port["bond_slave_queue_id"]) == (mac, 3)
    moved = host.converge(document("Bond/bond0", {**spec, "failOverMac": "follow", "mac": "02:00:00:00:00:07"}))
    assert ops(moved)[0] == "bond.reconfigure", "with fail_over_mac the kernel takes no other address"
    assert host.link("bond0").mac == "02:00:00:00:00:07"


def test_miimon_and_arp_interval_take_turns() -> None:
    host = MemoryHost()
    spec = {"members": ["eno1"], "updelay": 200}
    arp = {"members": ["eno1"], "arpInterval": 500, "arpIpTarget": ["10.0.0.9", "10.0.0.1"], "arpValidate": "all"}
    for wanted, miimon, interval in ((spec, 100, 0), (arp, 0, 500), (spec, 100, 0)):
        host.converge(document("Bond/bond0", wanted))
        data = host.link("bond0").data
        assert (data["bond_miimon"], data["bond_arp_interval"]) == (miimon, interval)
    assert (data["bond_updelay"], data["bond_arp_validate"], data.get("bond_arp_ip_target")) == (200, "none", None)


def test_an_option_that_is_ignored_is_not_sent_with_a_new_mode() -> None:
    host = MemoryHost()
    spec = {"members": ["eno1"], "minLinks": 1}
    host.converge(document("Bond/bond0", spec))
    doc = document("Bond/bond0", {"members": ["eno1"], "mode": "802.3ad"})
    doc = type(doc)(
        **{f: getattr(doc, f) for f in doc.__struct_fields__} | {"annotations": {"cell/ignore": "/spec/minLinks"}}
    )
    host.apply(doc)
    assert host.link("bond0").data["bond_min_links"] == 1


def test_what_may_not_be_read_is_not_compared() -> None:
    host = MemoryHost()
    doc = document("Bond/bond0", {"members": ["eno1"], "mode": "802.3ad", "adActorSysPrio": 7})
    host.converge(doc)
    live = host.live()
    data = {k: v for k, v in live.links["bond0"].data.items() if not k.startswith("bond_ad_actor")}
    data.pop("bond_ad_user_port_key")
    bond = type(live.links["bond0"])(
        **{f: getattr(live.links["bond0"], f) for f in live.links["bond0"].__struct_fields__} | {"data": data}
    )
    from tests.network import plan_of

    plan = plan_of([doc], type(live)(host=live.host, links={**live.links, "bond0": bond}))
    assert plan.empty
    assert "adActorSysPrio of bond0 cannot be read without CAP_NET_ADMIN" in plan.changes[0].notes[0]
    assert options.FIELDS["ad_actor_sys_prio"].extra["absent"] is not UNSET
