"""Scenarios 1 to 11: bonds, what they are made of, and what stands on them while they change."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds.bond import options
from cell_reconciler.load import Specs
from cell_reconciler.model.diagnostic import Diagnostic, Severity
from cell_reconciler.model.document import Document, Loaded
from tests.kernel.inside.watchers import PacketsLost, no_loss, stable, switch
from tests.network import HOST, ExecutedHost, document, ip, isolated, ops, plan_of, problems, said

pytestmark = pytest.mark.kernel
MEMBERS = ["eno1", "eno2"]
KEEP = document("Bridge/keep")  # so that something is declared when the bond is not any more
ADDRESS: dict[str, Any] = {"addresses": ["10.0.0.1/24"]}


def start(*nics: str) -> ExecutedHost:
    for nic in nics or MEMBERS:
        ip(f"link add {nic} type dummy")
    return ExecutedHost()


def bond(name: str = "bond0", /, **spec: Any) -> Document:
    return document(f"Bond/{name}", {"members": MEMBERS, **spec})


def data(host: ExecutedHost) -> dict[str, Any]:
    found: dict[str, Any] = host.link("bond0").data
    return found


def refuses(doc: Document, rule: str, *words: str) -> None:
    """The document is invalid by this rule alone, whose message names these."""
    problem = said(doc)
    assert problem.keys() == {rule}, problem
    assert all(word in problem[rule] for word in words), problem


def errors(loaded: Loaded) -> list[Diagnostic]:
    return [d for d in loaded.diagnostics if d.severity == Severity.ERROR]


@isolated
def test_scenario_01_a_new_bond_of_two_nics_and_its_end() -> None:
    host, far = ExecutedHost(), switch(*MEMBERS)
    macs = {nic: host.link(nic).mac for nic in MEMBERS}
    host.converge(KEEP, bond(**ADDRESS))
    assert {nic: host.link(nic).master for nic in MEMBERS} == dict.fromkeys(MEMBERS, "bond0")
    assert {host.link(name).mac for name in ("bond0", *MEMBERS)} == {macs["eno1"]}
    with no_loss(far, "10.0.0.1"):
        pass
    host.converge(KEEP, prune=True)
    assert "bond0" not in host.live().links
    after = {nic: (host.link(nic).master, host.link(nic).up, host.link(nic).mac) for nic in MEMBERS}
    assert after == {nic: (None, True, mac) for nic, mac in macs.items()}, "up, with its own address"


@isolated
def test_scenario_02_a_bond_without_a_mode() -> None:
    """The mode has a default, which is ours and never the kernel's (balance-rr); what is no mode is no document."""
    host = start()
    text = "apiVersion: cell/v1\nkind: Bond\nmetadata: {name: bond0}\nspec: {members: [eno1, eno2]%s}\n"
    for wrong in ("null", "lacp", "balance-rr, mode: 802.3ad"):
        loaded = Specs((), HOST, fixed={"bond.yaml": (text % f", mode: {wrong}").encode()}).scan()
        assert [(d.position.file, d.position.line) for d in errors(loaded)] == [("bond.yaml", 4)]
        assert plan_of(list(loaded.documents.values()), host.live()).empty
    loaded = Specs((), HOST, fixed={"bond.yaml": (text % "").encode()}).scan()
    assert not errors(loaded)
    host.converge(*loaded.documents.values())
    assert data(host)["bond_mode"] == "active-backup"
    ip("link add theirs type bond mode 802.3ad")
    host.converge(*loaded.documents.values(), document("Bond/theirs", {"members": []}, adopt=True))
    assert host.link("theirs").data["bond_mode"] == "802.3ad", "adopted: what is not named is left alone"


@pytest.mark.parametrize("declared", [{}, {"mac": "02:00:00:00:00:42"}], ids=["pinned", "declared"])
@isolated
def test_scenario_03_a_bond_without_ports_and_later_one(declared: dict[str, str]) -> None:
    host = start()
    own = host.link("eno1").mac
    host.converge(bond(members=[], **declared))
    mac = host.link("bond0").mac
    assert mac == declared.get("mac", mac)
    host.converge(bond(members=["eno1"], **declared))
    assert (host.link("eno1").master, host.link("eno1").mac, host.link("bond0").mac) == ("bond0", mac, mac)
    host.converge(bond(members=[], **declared))
    assert (host.link("eno1").mac, host.link("bond0").mac, host.link("bond0").up) == (own, mac, True)


MEMBERSHIPS = {
    "one comes": (["eno1", "eno2"], ["eno1", "eno2", "eno3"]),
    "the backup goes": (["eno1", "eno2"], ["eno1"]),
    "the active one goes": (["eno1", "eno2"], ["eno2"]),
    "the active one is replaced": (["eno1", "eno2"], ["eno2", "eno3"]),
    "the only one is replaced": (["eno1"], ["eno3"]),
}


@pytest.mark.parametrize(("before", "after"), MEMBERSHIPS.values(), ids=MEMBERSHIPS)
@isolated
def test_scenario_04_members_come_go_and_are_replaced(before: list[str], after: list[str]) -> None:
    """With a bridge on the bond, and a VLAN with one: nobody on them notices.

    A frame that was already on its way to the old active member when another one took over is dropped by the bonding
    driver (active-backup takes nothing from the others). On a busy machine that window is milliseconds: when a single
    packet was lost, the same change is made again.
    """
    host, far = ExecutedHost(), switch("eno1", "eno2", "eno3")
    far.run("link add link switch name switch.7 type vlan id 7")
    far.run("addr add 10.7.0.50/24 dev switch.7")
    far.run("link set switch.7 up")
    uppers = [
        document("Bridge/br0", {"uplink": "bond0", **ADDRESS}),
        document("Bridge/br7", {"uplink": "bond0", "vlan": 7, "addresses": ["10.7.0.1/24"]}),
    ]
    for left in (2, 1, 0):
        host.converge(bond(members=before, primary="eno1"), *uppers)
        host.converge(bond(members=before), *uppers)
        assert data(host)["bond_active_slave"] == "eno1"
        mac, free = host.link("bond0").mac, {nic: host.link(nic).port.get("bond_slave_perm_hwaddr") for nic in before}
        try:
            with stable("bond0", "br0", "bond0.7", "br7"), no_loss(far, "10.0.0.1"), no_loss(far, "10.7.0.1"):
                plan = host.converge(bond(members=after), *uppers)
            break
        except PacketsLost as error:
            if error.count > 1 or not left:
                raise
    came, went = len(set(after) - set(before)), len(set(before) - set(after))
    assert [op for op in ops(plan) if op != "bond.mark"] == ["bond.enslave"] * came + ["bond.release"] * went
    assert host.link("bond0").mac == mac
    for nic in set(before) - set(after):
        assert (host.link(nic).up, host.link(nic).master, host.link(nic).mac) == (True, None, free[nic])


@isolated
def test_scenario_05_two_bonds_swap_their_only_members() -> None:
    host = start()
    host.converge(bond("a", members=["eno1"]), bond("b", members=["eno2"]))
    macs = host.link("a").mac, host.link("b").mac
    plan = host.converge(bond("a", members=["eno2"]), bond("b", members=["eno1"]))
    texts = [step.text for step in plan.steps if step.op in ("bond.release", "bond.enslave")]
    for nic, old, new in (("eno1", "a", "b"), ("eno2", "b", "a")):
        left = next(n for n, text in enumerate(texts) if text.startswith(f"take {nic} out of {old}"))
        assert left < texts.index(f"make {nic} a member of {new}"), "in two bonds at no time"
    assert (host.link("eno1").master, host.link("eno2").master) == ("b", "a")
    assert (host.link("a").mac, host.link("b").mac) == macs


@isolated
def test_scenario_05_two_bonds_swap_one_of_two_members() -> None:
    host, far = ExecutedHost(), switch("eno1", "eno2", "ens1", "ens2")
    far.run("addr add 10.1.0.50/24 dev switch")

    def documents(*second: str) -> list[Document]:
        return [
            bond("a", members=["eno1", second[0]], addresses=["10.0.0.1/24"]),
            bond("b", members=["ens1", second[1]], addresses=["10.1.0.1/24"]),
        ]

    host.converge(*documents("eno2", "ens2"))
    with stable("a", "b"), no_loss(far, "10.0.0.1"), no_loss(far, "10.1.0.1"):
        host.converge(*documents("ens2", "eno2"))
    assert (host.link("eno2").master, host.link("ens2").master) == ("b", "a")


@isolated
def test_scenario_06_the_order_of_members_is_no_difference() -> None:
    host = start("eno1", "eno2", "eno3")
    host.converge(bond(members=["eno1", "eno2", "eno3"]))
    before = host.doors.writes.total
    with stable("bond0"):
        plan = host.apply(bond(members=["eno3", "eno1", "eno2"]))
    assert plan.empty
    assert host.doors.writes.total == before


OF_LACP = {"lacpRate": "fast", "adActorSysPrio": 7, "adActorSystem": "02:00:00:00:00:09", "adUserPortKey": 5}


@isolated
def test_scenario_07_a_mode_change_keeps_what_stands_on_the_bond_and_inherits_nothing() -> None:
    host = start()

    def documents(**spec: Any) -> list[Document]:
        return [
            bond(**spec),
            document("Bridge/br0", {"uplink": "bond0", "vlan": 7, "addresses": ["10.0.0.1/24", "fd00::1/64"]}),
            document("Vlan/bond0.8", {"parent": "bond0", "id": 8, "addresses": ["10.8.0.1/24", "fd08::1/64"]}),
        ]

    def standing() -> dict[str, Any]:
        links = host.live().links.values()
        return {x.name: (x.index, x.mac, x.up, x.addresses) for x in links if x.name not in MEMBERS}

    host.converge(*documents(primary="eno2", prio={"eno2": 5}, queueId={"eno1": 3}))
    ip("route add 10.99.0.0/16 via 10.8.0.254 dev bond0.8 metric 77")
    ip("-6 route add fd99::/64 via fd08::fe dev bond0.8 proto static")
    before, routes = standing(), host.live().routes
    for spec in ({"mode": "balance-tlb"}, {"mode": "802.3ad", **OF_LACP}, {}, {"mode": "802.3ad"}, {}):
        plan = host.converge(*documents(**spec))
        assert [op for op in ops(plan) if op.endswith(("rebuild", "reconfigure"))] == ["bond.rebuild"], ops(plan)
        assert standing() == before
        assert host.live().routes == routes
        assert {link.master for name, link in host.live().links.items() if name in MEMBERS} == {"bond0"}
        assert "bond_primary" not in data(host)
        if spec == {"mode": "802.3ad"}:
            lacp = {name: data(host)[name] for name in ("bond_ad_lacp_rate", "bond_ad_actor_sys_prio")}
            assert lacp == {"bond_ad_lacp_rate": "slow", "bond_ad_actor_sys_prio": 65535}
    assert host.link("eno1").port["bond_slave_queue_id"] == 0
    refuses(bond(mode="balance-alb", lacpRate="fast"), "option-mode", "balance-alb", "802.3ad")


@isolated
def test_scenario_08_exactly_one_monitor_is_active() -> None:
    host = start()
    arp = {"arpInterval": 500, "arpIpTarget": ["10.0.0.9", "10.0.0.1"], "arpValidate": "all"}
    mii = {"updelay": 200}
    for wanted, miimon, interval in ((arp, 0, 500), (mii, 100, 0), (arp, 0, 500), ({"miimon": 50}, 50, 0)):
        host.converge(bond(**wanted))
        assert (data(host)["bond_miimon"], data(host)["bond_arp_interval"]) == (miimon, interval)
    refuses(bond(miimon=100, **arp), "monitor-both", "miimon 100", "arpInterval 500")
    assert "bond_arp_ip_target" not in data(host)


@isolated
def test_scenario_09_a_delay_that_is_no_multiple_of_miimon() -> None:
    host = start()
    host.converge(bond())
    door: NetlinkDoor = host.doors.netlink
    for delay, miimon in ((250, 100), (99, 100), (300, 100), (250, 50), (7, 3)):
        door.set_data("bond0", "bond", bond_miimon=miimon, bond_updelay=delay, bond_downdelay=delay)
        assert data(host)["bond_updelay"] == data(host)["bond_downdelay"] == options.multiple(delay, miimon)
    door.set_data("bond0", "bond", bond_miimon=0)
    with pytest.raises(StepFailed, match="EPERM"):
        door.set_data("bond0", "bond", bond_updelay=100)
    refuses(bond(updelay=250), "delay-multiple", "updelay 250", "miimon 100", "would use 200")
    host.converge(bond(updelay=200, miimon=50))
    host.converge(bond(updelay=200))
    assert data(host)["bond_updelay"] == 200, "a new miimon takes delays along, so they are sent with it"


@isolated
def test_scenario_10_peer_notifications_are_one_number() -> None:
    host = start()
    refuses(bond(numGratArp=2, numUnsolNa=3), "peer-notifications", "numGratArp 2", "numUnsolNa 3")
    for spec in ({"numGratArp": 2, "numUnsolNa": 2}, {"numGratArp": 4}, {"numUnsolNa": 5}, {}):
        host.converge(bond(**spec))
        assert data(host)["bond_num_peer_notif"] == next(iter(spec.values()), 1)


@isolated
def test_scenario_11_fail_over_mac() -> None:
    host = start()
    host.converge(bond())
    other = document("Bond/bond1", {"members": []})
    active = bond(failOverMac="active")
    host.converge(active, other)
    assert host.link("bond0").mac == host.link(data(host)["bond_active_slave"]).mac
    host.converge(active, document("Bond/bond1", {"members": [], "minLinks": 1}))
    host.converge(bond(failOverMac="follow", mac="02:00:00:00:00:05"))
    host.converge(bond(failOverMac="follow", mac="02:00:00:00:00:06"))
    assert host.link("bond0").mac == "02:00:00:00:00:06"
    host.converge(bond(mac="02:00:00:00:00:07"))
    assert {host.link(nic).mac for nic in ("bond0", *MEMBERS)} == {"02:00:00:00:00:07"}
    assert problems(bond(failOverMac="active", mac="02:00:00:00:00:07")) == {"mac-fail-over"}
