"""Another VLAN in the place of one: the plan says so, and everything that was on it is there again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.kinds.vlan.actions import ReplaceVlan
from cell_reconciler.model.change import Risk, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from tests.network import NetworkHost, document, ip, isolated, ops, refusals

pytestmark = pytest.mark.kernel

BOND = document("Bond/bond0", {"members": ["eno1", "eno2"]})
ROUTES = [{"to": "10.9.0.0/16", "via": "10.20.0.1"}]


def nics() -> None:
    for name in ("eno1", "eno2", "eno3"):
        ip(f"link add {name} type dummy")
    ip("link set eno3 up")


def vlan(name: str = "v20", **spec: Any) -> Document:
    return document(f"Vlan/{name}", {"parent": "bond0", "id": 20, **spec})


@pytest.mark.parametrize("fields", [{"id": 30}, {"protocol": "802.1ad"}, {"parent": "eno3"}])
def test_addresses_and_routes_are_there_again(fields: dict[str, Any]) -> None:
    @isolated
    def test() -> None:
        nics()
        host = NetworkHost()
        layer3: dict[str, Any] = {"addresses": ["10.20.0.11/24", "fd20::11/64"], "routes": ROUTES}
        host.converge(vlan(**layer3, mtu=1400, mac="52:54:00:aa:bb:cc"), BOND)
        ip("addr add 10.20.0.99/24 dev v20")  # of somebody else
        ip("route add 10.8.0.0/16 via 10.20.0.1 proto static")
        ip("-6 route add fd99::/64 via fd20::1")
        before = host.link("v20")
        plan = host.converge(vlan(**layer3, **fields, mtu=1400, mac="52:54:00:aa:bb:cc"), BOND)
        assert next(c for c in plan.changes if c.key == Key("Vlan", "v20")).verb == Verb.REPLACE
        assert ops(plan) == ["vlan.replace", "vlan.mark"]
        assert plan.steps[0].risk == Risk.CUTS_MANAGEMENT
        after = host.link("v20")
        assert after.index != before.index
        assert (after.mtu, after.mac, after.up) == (1400, "52:54:00:aa:bb:cc", True)
        assert (after.addresses, after.owned_addresses) == (before.addresses, before.owned_addresses)
        for there in ("10.9.0.0/16 via 10.20.0.1 dev v20", "10.8.0.0/16 via 10.20.0.1 dev v20 proto static"):
            assert there in ip("route"), ip("route")
        assert "fd99::/64 via fd20::1 dev v20" in ip("-6 route")

    test()


@isolated
def test_a_bridge_of_somebody_else_keeps_it_and_what_it_is_there() -> None:
    nics()
    host = NetworkHost()
    host.converge(vlan(), BOND)
    ip("link add virbr9 type bridge vlan_filtering 1")
    ip("link set v20 master virbr9")
    ip("link set virbr9 up")
    ip("link set v20 type bridge_slave isolated on cost 77")
    host.doors.netlink.set_vlans("v20", ())
    before = host.link("v20")
    host.converge(vlan(id=30), BOND)
    after = host.link("v20")
    assert after.master == "virbr9"
    for option in ("brport_isolated", "brport_cost"):
        assert after.port[option] == before.port[option]
    assert after.vlans == before.vlans == ()


@isolated
def test_vlans_of_ours_on_it_come_along() -> None:
    nics()
    host = NetworkHost()

    def documents(number: int) -> list[Document]:
        return [
            vlan(
                "inner",
                parent="v20",
                id=7,
                addresses=["10.7.0.1/24"],
                routes=[{"to": "10.6.0.0/16", "via": "10.7.0.9"}],
            ),
            document("Bridge/br8", {"uplink": "v20", "vlan": 8}),
            vlan(id=number, protocol="802.1ad"),
            BOND,
        ]

    host.converge(*documents(20))
    plan = host.converge(*documents(30))
    assert ops(plan) == ["vlan.replace", "vlan.mark"]
    assert host.link("v20.8").master == "br8"
    assert "10.6.0.0/16 via 10.7.0.9 dev inner" in ip("route")


@isolated
def test_what_is_not_ours_on_it_keeps_it() -> None:
    nics()
    host = NetworkHost()
    host.converge(vlan(), BOND)
    ip("link add link v20 name mv0 type macvlan")
    index = host.link("v20").index
    plan = host.apply(vlan(id=30), BOND)
    assert any("ForeignDependents" in text and "mv0" in text for text in refusals(plan))
    assert host.link("v20").index == index
    assert "mv0" in host.live().links


@isolated
def test_what_the_kernel_refuses_leaves_the_old_one() -> None:
    nics()
    host = NetworkHost()
    host.converge(vlan(addresses=["10.20.0.11/24"]), BOND)
    plan = host.plan(vlan(id=30, addresses=["10.20.0.11/24"]), BOND)
    ip("link add link bond0 name late type vlan id 30")
    with pytest.raises(CellError, match="exists as late"):
        plan.steps[0].action.do(host.doors)
    assert host.link("v20").addresses == ("10.20.0.11/24",)
    plan = host.plan(vlan(id=31, addresses=["10.20.0.11/24"], mac="52:54:00:aa:bb:cc"), BOND)
    step = plan.steps[0].action
    assert isinstance(step, ReplaceVlan)
    broken = msgspec.structs.replace(step, mac="01:00:5e:00:00:01")
    with pytest.raises(CellError):
        broken.do(host.doors)
    link = host.link("v20")
    assert (link.data["vlan_id"], link.addresses, link.up) == (20, ("10.20.0.11/24",), True)


@isolated
def test_vlans_follow_each_other() -> None:
    nics()
    host = NetworkHost()
    host.converge(vlan("a", id=1), vlan("b", id=2), BOND)
    host.converge(vlan("a", id=2), vlan("b", id=3), BOND)
    assert (host.link("a").data["vlan_id"], host.link("b").data["vlan_id"]) == (2, 3)
