"""Bonds that change while something stands on them: what has to stay stays, and nothing is left behind."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds.bond import actions
from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.model.change import Risk
from cell_reconciler.model.document import Document
from tests.kernel.inside.watchers import no_loss, soon, stable, switch
from tests.network import NetworkHost, conditions, document, ip, isolated, ops, refusals

pytestmark = pytest.mark.kernel
MEMBERS = ["eno1", "eno2"]
HOSTED = {"addresses": ["10.0.0.1/24", "fd00::1/64"]}


def start(*nics: str) -> NetworkHost:
    for nic in nics or MEMBERS:
        ip(f"link add {nic} type dummy")
    return NetworkHost()


def bond(**spec: Any) -> Document:
    return document("Bond/bond0", {"members": MEMBERS, **spec})


def data(host: NetworkHost) -> dict[str, Any]:
    found: dict[str, Any] = host.link("bond0").data
    return found


@isolated
def test_an_option_that_needs_the_bond_down_keeps_addresses_and_routes_of_others() -> None:
    host = start()
    spec: dict[str, Any] = {"mode": "802.3ad", **HOSTED, "routes": [{"to": "default", "via": "10.0.0.254"}]}
    host.converge(bond(**spec))
    ip("route add 10.99.0.0/16 via 10.0.0.253 metric 5")
    ip("-6 route add fd99::/64 via fd00::fe")
    before, index = host.live(), host.link("bond0").index
    fast = {"lacpRate": "fast", "lacpActive": False, "adSelect": "count"}
    plan = host.converge(bond(**spec, **fast))
    assert [op for op in ops(plan) if op != "bond.mark"] == ["bond.reconfigure"], "one down and up for all of it"
    assert plan.steps[0].why == "carries 10.0.0.1/24 (bond0), fd00::1/64 (bond0)"
    assert host.live().routes == before.routes
    assert (host.link("bond0").addresses, host.link("bond0").index) == (before.links["bond0"].addresses, index)
    back = host.converge(bond(**spec))
    assert {f.path: f.want for f in back.changes[0].fields} == {
        "spec.lacpRate": "slow",
        "spec.lacpActive": True,
        "spec.adSelect": "stable",
    }


@isolated
def test_fail_over_mac_from_the_creation_on() -> None:
    host = start()
    host.converge(bond(failOverMac="active"))
    assert host.link("bond0").mac == host.link(data(host)["bond_active_slave"]).mac


@isolated
def test_the_active_member_is_what_is_asked_for_while_it_can_be() -> None:
    host = start()
    host.converge(bond())
    host.converge(bond(activeSlave="eno2"))
    assert data(host)["bond_active_slave"] == "eno2"
    ip("link set eno1 down")
    ip("link set eno1 up")
    soon(lambda: host.link("eno1").port["bond_slave_mii_status"] == "up")
    ip("link set bond0 type bond active_slave eno1")
    host.converge(bond(activeSlave="eno2"))
    host.converge(bond(activeSlave="eno2", failOverMac="follow"))
    assert data(host)["bond_active_slave"] == "eno2", "also after the members left and came back"
    host.converge(bond(prio={"eno1": 9}, failOverMac="follow"))
    assert data(host)["bond_active_slave"] == "eno1"
    host.converge(bond(failOverMac="follow"))


@isolated
def test_which_member_is_active_is_no_difference() -> None:
    host, far = NetworkHost(), switch(*MEMBERS)
    host.converge(bond())
    first = data(host)["bond_active_slave"]
    far.run(f"link set p-{first} down")
    soon(lambda: data(host)["bond_active_slave"] != first)
    assert host.plan(bond()).empty
    assert host.plan(bond(activeSlave=first)).empty, "it cannot be"
    far.run(f"link set p-{first} up")
    soon(lambda: host.link(first).port["bond_slave_mii_status"] == "up")
    host.converge(bond(activeSlave=first))
    assert data(host)["bond_active_slave"] == first


@isolated
def test_queues_change_hands() -> None:
    host = start()
    host.converge(bond(queueId={"eno1": 1, "eno2": 2}))
    host.converge(bond(queueId={"eno1": 2, "eno2": 1}))
    assert [host.link(nic).port["bond_slave_queue_id"] for nic in MEMBERS] == [2, 1]
    host.converge(bond())
    assert [host.link(nic).port["bond_slave_queue_id"] for nic in MEMBERS] == [0, 0]


@isolated
def test_an_option_that_the_kernel_does_not_know_is_said_so() -> None:
    host = start()
    spec = {"mode": "802.3ad", "broadcastNeighbor": True}
    if "bond_broadcast_neigh" in _probe(host):
        host.converge(bond(**spec))
        return
    with pytest.raises(StepFailed, match="the running kernel's bonding driver has no broadcast_neigh"):
        host.apply(bond(**spec))
    plan = host.apply(bond(**spec))
    assert any("Unsupported" in text for text in refusals(plan))
    assert host.link("eno1").master == "bond0", "the rest is done"


def _probe(host: NetworkHost) -> dict[str, Any]:
    door = host.doors.netlink
    door.create_link("probe", "bond")
    found: dict[str, Any] = host.link("probe").data
    door.delete_link("probe")
    return found


@isolated
def test_the_last_member_that_works_waits_for_the_one_that_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    host, far = NetworkHost(), switch("eno1", "eno2")
    with_address = {"addresses": ["10.0.0.1/24"]}
    host.converge(bond(members=["eno1"], **with_address))
    far.run("link set p-eno2 down")
    monkeypatch.setattr(actions, "LINK_UP", 1)
    with stable("bond0"), no_loss(far, "10.0.0.1"), pytest.raises(StepFailed, match="no other member of bond0 is up"):
        host.apply(bond(members=["eno2"], **with_address))
    assert (host.link("eno1").master, host.link("eno2").master) == ("bond0", "bond0")
    plan = host.plan(bond(members=["eno2"], **with_address))
    assert plan.steps[0].risk == Risk.CUTS_MANAGEMENT, "nothing is believed of eno2 any more"
    host.converge(bond(members=["eno1"], **with_address))
    monkeypatch.setattr(actions, "LINK_UP", 30)
    plug_in = threading.Timer(1, lambda: far.run("link set p-eno2 up"))
    with stable("bond0"), no_loss(far, "10.0.0.1"):
        plug_in.start()
        host.converge(bond(members=["eno2"], **with_address))
    plug_in.join()


@isolated
def test_a_nic_that_leaves_its_address_behind_is_silent() -> None:
    """Else its first frame of IPv6 would make the switch look for the bond there."""
    host = start()
    host.converge(bond())
    plan = host.converge(bond(members=["eno2"]))
    assert "take eno1 out of bond0, its IPv6 off: bond0 keeps its address" in [step.text for step in plan.steps]
    assert (host.link("eno1").up, host.link("eno1").ipv6_disabled) == (True, True)
    host.converge(bond(members=["eno2"]), document("Nic/eno1", {"addresses": ["fd00::1/64"]}))
    assert host.link("eno1").ipv6_disabled is False, "an address turns it on again"
    host.converge(bond(members=[]), document("Nic/eno1", {}))
    assert host.link("eno2").ipv6_disabled is False


@isolated
def test_live_options_lose_nothing() -> None:
    host, far = NetworkHost(), switch("eno1", "eno2")
    host.converge(bond(addresses=["10.0.0.1/24"]))
    with stable("bond0"), no_loss(far, "10.0.0.1"):
        more = {"miimon": 50, "updelay": 100, "xmitHashPolicy": "layer3+4", "resendIgmp": 3, "numGratArp": 4}
        host.converge(bond(addresses=["10.0.0.1/24"], **more, primaryReselect="better", allSlavesActive=True))


@isolated
def test_the_address_of_a_member_that_left_is_told_of() -> None:
    host = start("eno1", "eno2")
    host.converge(bond())
    less = document("Bond/bond0", {"members": ["eno2"]})
    assert "keeps the address" not in str(host.plan(bond()).changes[0].notes)
    plan = host.converge(less)
    assert (
        plan.changes[0].notes[0].startswith(f"bond0 keeps the address {host.link('bond0').mac} of eno1, which leaves")
    )
    assert conditions(host, less)["SameAddress"].message.startswith("eno1 has the address")


@isolated
def test_a_bond_that_was_cut_short_while_it_was_empty_gets_its_members_and_its_address_back() -> None:
    host = start()
    doc = bond(mode=str(BondMode.LACP))
    host.converge(bond())
    mac = host.link("bond0").mac
    ip("link set bond0 down")
    for nic in MEMBERS:
        ip(f"link set {nic} nomaster")
    assert host.link("bond0").mac != mac, "what this test is about"
    host.converge(doc)
    assert (host.link("bond0").mac, host.link("bond0").up) == (mac, True)
