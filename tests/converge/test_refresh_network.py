"""The network after events, beside an observation of everything: on the real kernel, they never differ."""

from __future__ import annotations

import pytest

from cell_reconciler.converge.refresh import refresh
from cell_reconciler.converge.refresh_network import MOST, differing
from cell_reconciler.drivers.netlink.events import RULES
from cell_reconciler.model.key import Key
from tests.listener import Listener
from tests.network import document, ip, isolated

pytestmark = pytest.mark.live
BR0, BR1 = Key("Bridge", "br0"), Key("Bridge", "br1")


def host() -> Listener:
    """Two bridges, two NICs."""
    return Listener(
        (document("Bridge/br0", {"uplink": "eno1"}), document("Bridge/br1")),
        "link set lo up",
        "link add eno1 type veth peer name sw1",
        "link add eno2 type veth peer name sw2",
        *(f"link add br{n} type bridge" for n in range(2)),
        "link set eno1 master br0",
        *(f"link set {name} up" for name in ("eno1", "sw1", "eno2", "sw2", "br0", "br1")),
        "address add 10.0.0.1/24 dev br0",
        "route add 10.1.0.0/16 via 10.0.0.2",
        "route add 10.2.0.0/16 via 10.0.0.2 src 10.0.0.1",
    )


@isolated
def test_what_changes_is_read_by_itself() -> None:
    at = host()
    assert at.after("link set br0 mtu 1400") == {BR0}
    assert at.after("link set br1 down") == {BR1}
    assert at.after("address add 10.9.0.1/24 dev br1") == {BR1}
    assert at.after("address add fd00::1/64 dev br1 nodad", "link set br1 up") == {BR1}
    assert at.after("route add 10.3.0.0/16 via 10.0.0.2") == {BR0}
    assert at.after("route add blackhole 10.4.0.0/16") == set()
    assert at.after("rule add from 10.0.0.0/8 table 7") == set()
    assert differing(at.before, at.live) == {RULES}
    assert at.after("tuntap add dev tap9 mode tap") == set()
    assert at.after("link set tap9 master br1") == {BR1}
    assert at.bulk == 0


@isolated
def test_routes_that_go_without_a_word() -> None:
    at = host()
    assert [route.to for route in at.live.routes] == ["10.1.0.0/16", "10.2.0.0/16"]
    assert at.after("address del 10.0.0.1/24 dev br0") == {BR0}
    assert at.live.routes == ()
    at.after("address add 10.0.0.1/24 dev br0", "route add 10.1.0.0/16 via 10.0.0.2")
    assert at.after("link set br0 down") == {BR0}
    assert at.live.routes == ()


@isolated
def test_ports_come_move_and_go() -> None:
    at = host()
    assert at.after("link set eno2 master br1") == {BR1}
    assert at.after("link set eno2 master br0") == {BR0, BR1}
    assert at.after("link set eno2 nomaster") == {BR0}
    assert at.after("link set eno1 nomaster") == {BR0}, "who declares it as the uplink hears of it as well"
    assert at.after("link set eno1 master br1") == {BR0, BR1}


@isolated
def test_links_come_go_and_come_back_as_others() -> None:
    at = host()
    assert at.after("link del br1") == {BR1}
    assert at.after("link add br1 type bridge") == {BR1}
    assert at.after("link del br1", "link add br1 type veth peer name else1") == {BR1}
    assert at.after("link del br0") == {BR0}
    assert at.live.routes == ()
    assert at.after("link del eno1") == {BR0}
    assert "sw1" not in at.live.links


@isolated
def test_a_new_name() -> None:
    at = host()
    ip("link set br0 down")
    at.after("link set br0 name br9")
    assert at.live.links["eno1"].master == "br9"
    assert at.after("link set br9 name br0") == {BR0}
    assert at.after("link set sw2 name sw3") == set()
    assert at.live.links["eno2"].parent == "sw3"
    ip("link set br1 down")
    assert at.after("link set br0 name br9", "link set br1 name br0", "link set br9 name br1") == {BR0, BR1}


@isolated
def test_many_at_once_are_read_at_once() -> None:
    at = host()
    at.after(*(f"link add m{n} type bridge" for n in range(MOST + 1)))
    assert at.bulk == 1
    assert at.after(*(f"link set m{n} mtu 1400" for n in range(3)), "link set br1 mtu 1400") == {BR1}
    assert at.bulk == 1


@isolated
def test_what_did_not_change_is_the_very_same() -> None:
    at = host()
    ip("link set br0 mtu 1400")
    at.after("link set br0 mtu 1500")
    assert at.live is at.before
    assert at.after("address add 10.9.0.1/24 dev br1", "address del 10.9.0.1/24 dev br1") == set()


@isolated
def test_the_links_of_a_key_are_read_though_nothing_was_heard() -> None:
    at = host()
    ip("link set br0 mtu 1400")
    at.events.read()
    live = refresh(at.doors, at.live, at.documents, [BR0], frozenset())
    assert live.links["br0"].mtu == 1400
    assert refresh(at.doors, at.live, at.documents, [BR1], frozenset()).links["br0"].mtu == 1500
    assert refresh(at.doors, at.live, at.documents, [BR1]).links["br0"].mtu == 1400, "nobody listens: all is read"
