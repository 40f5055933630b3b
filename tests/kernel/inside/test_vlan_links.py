"""VLAN devices on a kernel that has them: made, changed, mended and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.model.document import Document
from cell_reconciler.model.mark import GROUP, Mark
from tests.network import NetworkHost, document, ip, isolated, ops, refusals

pytestmark = pytest.mark.kernel

BOND = document("Bond/bond0", {"members": ["eno1", "eno2"]})
KEEP = document("Bridge/keep")


def nics(*names: str) -> None:
    for name in names or ("eno1", "eno2", "eno3"):
        ip(f"link add {name} type dummy")


def vlan(name: str = "v20", **spec: Any) -> Document:
    return document(f"Vlan/{name}", {"parent": "bond0", "id": 20, **spec})


@isolated
def test_a_vlan_on_a_bond_with_an_address_and_a_route() -> None:
    nics()
    host = NetworkHost()
    routes = [{"to": "10.9.0.0/16", "via": "10.20.0.1", "metric": 50}]
    storage = vlan("storage", addresses=["10.20.0.11/24", "fd20::11/64"], routes=routes, mtu=1400)
    host.converge(storage, BOND)
    link = host.link("storage")
    assert (link.kind, link.parent, link.up, link.mtu) == ("vlan", "bond0", True, 1400)
    assert (link.data["vlan_id"], link.data["vlan_protocol"], link.data["vlan_flags"]) == (20, "802.1Q", 1)
    assert (link.mac, link.group) == (host.link("bond0").mac, GROUP)
    mark = Mark.parse(link.alias)
    assert mark is not None
    assert str(mark.owner) == "Vlan/storage"
    assert "via 10.20.0.1" in ip("route show 10.9.0.0/16")


@isolated
def test_without_an_address_the_host_is_not_in_the_vlan() -> None:
    nics()
    host = NetworkHost()
    host.converge(vlan(), BOND)
    assert host.link("v20").ipv6_disabled
    assert "inet6" not in ip("addr show dev v20")
    host.converge(vlan(ipv6=True), BOND)
    assert not host.link("v20").ipv6_disabled


@isolated
def test_a_tag_in_a_tag() -> None:
    nics()
    host = NetworkHost()
    documents = [
        vlan("inner", parent="outer", id=7, addresses=["10.7.0.1/24"]),
        vlan("outer", parent="eno3", id=20, protocol="802.1ad"),
        vlan("plain", parent="eno3", id=20),
        document("Nic/eno3"),
    ]
    host.converge(*documents)
    assert (host.link("inner").parent, host.link("inner").data["vlan_protocol"]) == ("outer", "802.1Q")
    assert (host.link("outer").parent, host.link("outer").data["vlan_protocol"]) == ("eno3", "802.1ad")
    assert host.link("eno3").up


@isolated
def test_a_nic_that_nobody_declares_is_only_brought_up() -> None:
    nics()
    host = NetworkHost()
    plan = host.converge(vlan(parent="eno3"))
    assert ops(plan) == ["vlan.parent-up", "vlan.create"]
    nic = host.link("eno3")
    assert (nic.up, nic.group, nic.alias) == (True, 0, None)
    too_much = host.plan(vlan(parent="eno3", mtu=9000))
    assert any("declare mtu 9000 for Nic/eno3" in r.advice for c in too_much.changes for r in c.refused)


@isolated
def test_flags_and_address_change_while_it_works() -> None:
    nics()
    host = NetworkHost()
    host.converge(vlan(), BOND)
    index = host.link("v20").index
    for spec in (
        {"gvrp": True},
        {"looseBinding": True, "reorderHeader": False},
        {"mac": "52:54:00:aa:bb:cc", "mtu": 1400},
        {},
    ):
        plan = host.converge(vlan(**spec), BOND)
        assert "vlan.replace" not in ops(plan)
    link = host.link("v20")
    assert (link.index, link.data["vlan_flags"], link.mac, link.mtu) == (index, 1, "52:54:00:aa:bb:cc", 1400)


@isolated
def test_the_address_follows_the_bond_while_it_is_the_same() -> None:
    nics()
    host = NetworkHost()
    host.converge(vlan(), vlan("pinned", id=21, mac="52:54:00:aa:bb:cc"), BOND)
    moved = document("Bond/bond0", {"members": ["eno1", "eno2"], "mac": "52:54:00:11:22:33"})
    host.converge(vlan(), vlan("pinned", id=21, mac="52:54:00:aa:bb:cc"), moved)
    assert (host.link("v20").mac, host.link("pinned").mac) == ("52:54:00:11:22:33", "52:54:00:aa:bb:cc")


@isolated
def test_drift_is_repaired() -> None:
    nics()
    host = NetworkHost()
    documents = [vlan(addresses=["10.20.0.11/24"], mtu=1400), BOND]
    host.converge(*documents)
    ip("link set v20 down")
    ip("link set v20 mtu 1300")
    ip("link set v20 type vlan gvrp on")
    host.converge(*documents)
    ip("link del v20")
    host.converge(*documents)
    ip("link del v20")
    ip("link add link bond0 name v20 type vlan id 99")
    refused = host.apply(*documents)
    assert any("Foreign" in text for text in refusals(refused)), "somebody else has made it"


@isolated
def test_the_same_vlan_under_another_name_is_named() -> None:
    nics()
    host = NetworkHost()
    host.converge(BOND)
    ip("link add link bond0 name by-hand type vlan id 20")
    plan = host.apply(vlan(), BOND)
    assert any("exists as by-hand" in text for text in refusals(plan))
    ip("link del by-hand")
    late = host.plan(vlan(), BOND)
    ip("link add link bond0 name by-hand type vlan id 20")
    with pytest.raises(CellError, match="VLAN 20 of bond0 exists as by-hand"):
        next(s for s in late.steps if s.op == "vlan.create").action.do(host.doors)
    ip("link del by-hand")
    host.converge(vlan("old"), BOND)
    plan = host.apply(vlan("new"), BOND)  # prune is off: the old one stays
    assert any("Vlan/new: DependencyNotReady: old is still in use" in text for text in refusals(plan)), refusals(plan)
    assert "new" not in host.live().links
    host.converge(vlan("new"), BOND, prune=True)
    assert "old" not in host.live().links


@isolated
def test_an_adopted_vlan_keeps_what_is_not_named() -> None:
    nics()
    host = NetworkHost()
    host.converge(BOND)
    ip("link add link bond0 name v20 type vlan id 20 gvrp on")
    ip("addr add 10.20.0.9/24 dev v20")
    ip("link set v20 up")
    adopted = document("Vlan/v20", {"parent": "bond0", "id": 20, "mtu": 1400}, adopt=True)
    host.converge(adopted, BOND)
    link = host.link("v20")
    assert (link.data["vlan_flags"], link.addresses, link.mtu) == (3, ("10.20.0.9/24",), 1400)
    host.converge(KEEP, BOND, prune=True)
    assert host.link("v20").group == 0, "given up, not deleted"


@isolated
def test_a_bridge_on_a_vlan_and_prune_from_the_top() -> None:
    nics()
    host = NetworkHost()
    host.converge(KEEP, document("Bridge/br0", {"uplink": "v20"}), vlan("v20.7", parent="v20", id=7), vlan(), BOND)
    assert host.link("v20").master == "br0"
    host.converge(KEEP, prune=True)
    assert set(host.live().links) == {"lo", "eno1", "eno2", "eno3", "keep"}


@isolated
def test_prune_leaves_what_somebody_stands_on() -> None:
    nics()
    host = NetworkHost()
    host.converge(KEEP, vlan(), BOND)
    ip("link add link v20 name mv0 type macvlan")
    plan = host.apply(KEEP, BOND, prune=True)
    assert any("mv0 stands on v20" in text for text in refusals(plan))
    assert host.link("v20").up
    ip("link del mv0")
    ip("addr add 10.20.0.99/24 dev v20")
    plan = host.apply(KEEP, BOND, prune=True)
    assert any("10.20.0.99/24" in text for text in refusals(plan))


@isolated
def test_a_crash_after_any_step() -> None:
    nics()
    host, number = NetworkHost(), 0
    documents = [
        document("Bridge/br0", {"uplink": "v20", "addresses": ["10.20.0.11/24"]}),
        vlan("v30", id=30, parent="eno3", addresses=["10.30.0.11/24"]),
        vlan(mtu=1400),
        BOND,
    ]
    while True:
        plan = host.apply(*documents, steps=number)
        host.converge(*documents)
        if number >= len(plan.steps):
            break
        for name in ("br0", "v30", "v20", "bond0"):
            host.doors.netlink.delete_link(name)
        number += 2
