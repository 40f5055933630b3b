"""Addresses, routes and rules on the kernel itself: applied twice, and nobody else's touched."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from cell_reconciler.errors import Refused
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.layer3_actions import SetRoute
from cell_reconciler.model.change import Plan, Risk
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Route
from cell_reconciler.model.mark import RTPROT
from tests.network import NetworkHost, document, ip, isolated, ops, refusals
from tests.spaces import PORT, Space, serve, without_dad

DEFAULT = {"to": "default", "via": "10.0.0.254"}


def bridge(name: str = "br0", **spec: Any) -> Document:
    return document(f"Bridge/{name}", spec)


def host() -> NetworkHost:
    without_dad()
    ip("link set lo up")
    return NetworkHost()


def lines(command: str, without: str = "") -> list[str]:
    return sorted(x.strip() for x in ip(command).splitlines() if not without or without not in x)


def everything(without: str = "proto 206") -> list[str]:
    """All routes and rules of the host but ours."""
    rules = [*lines("-d rule show", without), *lines("-d -6 rule show", without)]
    return [*lines("-d route show table all", without), *lines("-d -6 route show table all", without), *rules]


def ours() -> list[str]:
    """Our routes as ``ip`` shows them, IPv6 after IPv4, whether the link has a carrier or not."""
    found = [ip(f"{family} route show table all proto 206") for family in ("-4", "-6")]
    return [" ".join(line.replace(" linkdown", "").split()) for text in found for line in sorted(text.splitlines())]


def sources(at: NetworkHost) -> list[str]:
    return sorted(str(rule.source) for rule in at.doors.netlink.rules())


def risks(plan: Plan) -> dict[str, Risk]:
    return {step.op: step.risk for step in plan.steps}


FULL = {
    "addresses": ["10.0.0.1/24", "FD00:0::1/64"],
    "routes": [
        DEFAULT,
        {"to": "10.30.0.0/16", "via": "10.0.0.9", "table": 1000, "metric": 7, "mtu": 1400, "source": "10.0.0.1"},
        {"to": "10.99.0.0/24"},
        {"to": "10.31.0.0/16", "via": "10.99.0.1"},
        {"to": "10.32.0.0/16", "via": "172.16.0.1", "onLink": True},
        {"to": "default", "via": "fd00::fe"},
        {"to": "FD01:0::/64", "via": "fe80::1", "source": "fd00::1", "table": 300},
    ],
    "rules": [
        {"from": "10.0.0.1", "table": 1000, "priority": 100},
        {"to": "10.30.0.0/16", "mark": 5, "iif": "br0", "table": 1000, "priority": 101},
        {"from": "fd00::1", "table": 300, "priority": 100},
        {"from": "::/0", "table": 300, "priority": 102},
    ],
}


@isolated
def test_everything_at_once_and_again_nothing() -> None:
    at, doc = host(), bridge(**FULL)
    at.converge(doc)
    assert ours() == [
        "10.30.0.0/16 via 10.0.0.9 dev br0 table 1000 src 10.0.0.1 metric 7 mtu 1400",
        "10.31.0.0/16 via 10.99.0.1 dev br0",
        "10.32.0.0/16 via 172.16.0.1 dev br0 onlink",
        "10.99.0.0/24 dev br0 scope link",
        "default via 10.0.0.254 dev br0",
        "default via fd00::fe dev br0 metric 1024 pref medium",
        "fd01::/64 via fe80::1 dev br0 table 300 src fd00::1 metric 1024 pref medium",
    ]
    assert len(at.doors.netlink.rules()) == 4
    at.converge(bridge())
    assert ours() == []
    assert at.doors.netlink.rules() == ()
    assert at.link("br0").addresses == ()


@isolated
def test_what_others_set_is_the_same_before_and_after() -> None:
    at = host()
    at.converge(bridge(addresses=["10.0.0.1/24", "fd00::1/64"]))
    ip("addr add 10.0.0.77/24 dev br0")
    for proto in ("static", "dhcp", "bgp", "kernel", "ra", "boot"):
        ip(f"route add 10.1.0.0/16 via 10.0.0.3 dev br0 proto {proto} metric {len(proto)}0{ord(proto[0])}")
        ip(f"-6 route add fd09::/64 via fd00::3 dev br0 proto {proto} metric {len(proto)}0{ord(proto[0])}")
    ip("rule add from 10.9.0.0/16 table 9 prio 90")
    ip("rule add not to 0.0.0.0/0 blackhole prio 91")
    before = everything()
    at.converge(bridge(**FULL))
    changed = {**FULL, "routes": [{"to": "default", "via": "10.0.0.253", "metric": 50}], "rules": []}
    at.converge(bridge(**changed))
    assert everything() == before
    plan = at.converge(bridge(addresses=["10.0.0.1/24", "fd00::1/64"]))
    assert ops(plan) == ["bridge.route.delete", "bridge.mark"]
    assert everything() == before


@isolated
def test_another_metric_adds_before_it_deletes_and_another_gateway_replaces() -> None:
    at = host()
    at.converge(bridge(addresses=["10.0.0.1/24"], routes=[DEFAULT]))
    metric = at.converge(bridge(addresses=["10.0.0.1/24"], routes=[{**DEFAULT, "metric": 5}]))
    assert risks(metric)["bridge.route.delete"] == Risk.BLIP
    assert ops(metric) == ["bridge.route.set", "bridge.route.delete", "bridge.mark"]
    gateway = {"to": "default", "via": "10.0.0.253", "metric": 5}
    plan = at.converge(bridge(addresses=["10.0.0.1/24"], routes=[gateway]))
    assert ops(plan) == ["bridge.route.set", "bridge.mark"]
    assert risks(plan)["bridge.route.set"] == Risk.CUTS_MANAGEMENT
    gone = at.converge(bridge(addresses=["10.0.0.1/24"]))
    assert risks(gone)["bridge.route.delete"] == Risk.CUTS_MANAGEMENT


@pytest.mark.parametrize("via", [True, False])
@isolated
def test_each_property_of_an_ipv6_route_changes_in_place(via: bool) -> None:
    at, base = host(), {"to": "fd01::/64"} | ({"via": "fd00::9"} if via else {})
    addresses = ["fd00::1/64", "fd00::2/64"]
    other = bridge("br1", addresses=["fd05::1/64"])
    at.converge(bridge(addresses=addresses), other)
    ip("-6 route append fd01::/64 dev br1 metric 1024" if not via else "-6 route append fd01::/64 dev br1 metric 9")
    foreign = everything()
    for more in ({}, {"mtu": 1400}, {"source": "fd00::1"}, {"source": "fd00::2"}, {"metric": 8}, {}):
        plan = at.converge(bridge(addresses=addresses, routes=[base | more]), other)
        assert plan.steps
        assert len(ours()) == 1
        assert everything() == foreign


@isolated
def test_a_route_of_somebody_else_counts_as_there_and_is_never_replaced() -> None:
    at = host()
    at.converge(bridge(addresses=["10.0.0.1/24"]))
    ip("route add default via 10.0.0.254 dev br0 proto static")
    before = everything("nothing")
    assert at.converge(bridge(addresses=["10.0.0.1/24"], routes=[DEFAULT])).empty
    plan = at.apply(bridge(addresses=["10.0.0.1/24"], routes=[{"to": "default", "via": "10.0.0.9"}]))
    said = "the route to default via 10.0.0.254 through br0 was set by somebody else (protocol static)"
    assert refusals(plan) == [f"Bridge/br0: Conflict: {said}"]
    assert everything("nothing") == before
    action = SetRoute(name="br0", route=Route(to="0.0.0.0/0", link="br0", via="10.0.0.9", protocol=RTPROT))
    with pytest.raises(Refused, match="was set by somebody else"):
        action.do(at.doors)
    at.converge(bridge(addresses=["10.0.0.1/24"]))
    assert everything("nothing") == before


@isolated
def test_an_adopting_document_takes_a_route_over() -> None:
    at = host()
    ip("link add br0 type bridge")
    ip("link set br0 up")
    ip("addr add 10.0.0.1/24 dev br0")
    ip("route add default via 10.0.0.254 dev br0 proto static")
    ip("route add 10.7.0.0/16 via 10.0.0.254 dev br0 proto dhcp")
    routes = [{"to": "default", "via": "10.0.0.9"}, {"to": "10.7.0.0/16", "via": "10.0.0.9", "metric": 5}]
    doc = document("Bridge/br0", {"addresses": ["10.0.0.1/24"], "routes": routes}, adopt=True)
    at.converge(doc)
    assert ours() == ["10.7.0.0/16 via 10.0.0.9 dev br0 metric 5", "default via 10.0.0.9 dev br0"]
    assert "10.7.0.0/16 via 10.0.0.254 dev br0 proto dhcp" in ip("route show")


@isolated
def test_the_other_addresses_survive_when_the_first_of_their_network_goes() -> None:
    at = host()
    at.converge(bridge(addresses=["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"]))
    ip("addr add 10.0.0.77/24 dev br0")
    plan = at.converge(bridge(addresses=["10.0.0.2/24", "10.0.0.9/24"]))
    assert ops(plan) == ["bridge.address.add", *["bridge.address.delete"] * 2, "bridge.mark"]
    assert risks(plan)["bridge.address.delete"] == Risk.CUTS_MANAGEMENT
    assert set(at.link("br0").addresses) == {"10.0.0.2/24", "10.0.0.9/24", "10.0.0.77/24"}


@isolated
def test_what_vanished_with_a_link_that_went_down_is_put_back() -> None:
    at, doc = host(), bridge(**FULL)
    at.converge(doc)
    before = ours()
    ip("link set br0 down")
    ip("link set br0 up")
    assert ours() != before
    at.converge(doc)
    assert ours() == before


@isolated
def test_kept_brings_everything_back() -> None:
    at = host()
    at.converge(bridge(**FULL))
    ip("route add 10.1.0.0/16 via 10.0.0.3 dev br0 proto bgp")
    ip("route add 10.2.0.0/16 nexthop via 10.0.0.3 nexthop via 10.0.0.4")
    before = everything("fe80")
    with layer3.kept(at.doors, ["br0"]):
        ip("link set br0 down")
        assert everything("fe80") != before
        ip("link set br0 up")
    assert everything("fe80") == before

    def fail() -> None:
        with layer3.kept(at.doors, ["br0"]):
            ip("link set br0 down")
            ip("link set br0 up")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert everything("fe80") == before


@isolated
def test_an_address_and_a_route_that_change_their_document_are_never_gone() -> None:
    at = host()
    some = {"addresses": ["10.0.0.1/24", "fd00::1/64"], "routes": [DEFAULT, {"to": "default", "via": "fd00::fe"}]}
    at.converge(bridge("br0", **some), bridge("br1"))
    plan = at.converge(bridge("br0"), bridge("br1", **some))
    text = [step.text for step in plan.steps if "mark" not in step.op]
    assert [words.split()[0] for words in text] == ["add", "add", "remove", "remove", "set", "set"]
    assert ours() == [
        "default via 10.0.0.254 dev br1",
        "default via fd00::fe dev br1 metric 1024 pref medium",
    ]
    assert at.link("br0").addresses == ()


@isolated
def test_rules_belong_to_their_document() -> None:
    at = host()
    one = {"addresses": ["10.0.0.1/24"], "rules": [{"from": "10.0.0.1", "table": 100, "priority": 100}]}
    two = {"addresses": ["10.1.0.1/24"], "rules": [{"from": "10.1.0.1", "table": 101, "priority": 100}]}
    at.converge(bridge("br0", **one), bridge("br1", **two))
    changed = {**one, "rules": [{"from": "10.0.0.1", "table": 100, "priority": 99}]}
    plan = at.converge(bridge("br0", **changed), bridge("br1", **two))
    assert ops(plan) == ["bridge.rule.add", "bridge.rule.delete", "bridge.mark"]
    assert risks(plan)["bridge.rule.delete"] == Risk.BLIP
    # Undeclared, and not pruned: it stays as it is.
    assert at.converge(bridge("br0", **changed)).empty
    assert sources(at) == ["10.0.0.1/32", "10.1.0.1/32"]
    at.converge(bridge("br0", **changed), prune=True)
    assert sources(at) == ["10.0.0.1/32"]
    at.converge(bridge("br0", addresses=["10.0.0.1/24"]))
    assert at.doors.netlink.rules() == ()


@isolated
def test_ipv6_on_and_off() -> None:
    at = host()
    at.converge(bridge("br0"), bridge("br1", ipv6=True), bridge("br2", addresses=["10.0.0.1/24"]))
    assert [at.link(f"br{n}").ipv6_disabled for n in range(3)] == [True, False, False]
    on = at.converge(bridge("br0", ipv6=True))
    assert risks(on)["bridge.ipv6"] == Risk.NONE
    ip("addr add fd07::1/64 dev br0")
    off = at.converge(bridge("br0", ipv6=False))
    assert risks(off)["bridge.ipv6"] == Risk.CUTS_MANAGEMENT
    assert ip("-6 addr show dev br0") == ""
    at.converge(bridge("br0", addresses=["fd00::1/64"]))
    assert at.link("br0").ipv6_disabled is False


@isolated
def test_an_exported_host_is_the_host_as_it_is() -> None:
    at = host()
    ip("link add br0 type bridge")
    ip("link set br0 up")
    ip("addr add 10.0.0.1/24 dev br0")
    ip("route add default via 10.0.0.254 dev br0")
    ip("route add 10.3.0.0/16 via 10.0.0.3 dev br0 metric 7 table 100 proto static mtu lock 1400")  # no words for it
    ip("route add 10.4.0.0/16 via 10.0.0.3 dev br0 metric 7 table 100 proto static mtu 1400")
    ip("rule add from 10.0.0.1 table 100 prio 50")
    ip("-6 rule add iif br0 table 100 prio 50")
    from cell_reconciler.kinds.bridge.observe import observe
    from cell_reconciler.kinds.compare import plain
    from cell_reconciler.kinds.world import build

    found = observe("br0", build("cell-01", {}, at.live()))
    assert found is not None
    assert [route.to for route in found.spec.routes] == ["0.0.0.0/0", "10.4.0.0/16"]
    assert len(found.spec.rules) == 2
    before = everything("nothing")
    doc = document("Bridge/br0", plain(found.spec), adopt=True)
    assert ops(at.converge(doc)) == ["bridge.adopt"]
    assert everything("nothing") == before


class Ping:
    """Datagrams each 20 ms from a neighbour to an address of the host; counts those without an answer."""

    def __init__(self, space: Space, *addresses: str) -> None:
        self.sent = self.lost = 0
        self._stop = threading.Event()
        run = lambda: space.inside(lambda: self._run(addresses))  # noqa: E731
        self._thread = threading.Thread(target=run)
        self._thread.start()
        time.sleep(0.3)

    def _run(self, addresses: tuple[str, ...]) -> None:
        clients = []
        for address in addresses:
            client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
            client.connect((address, PORT))
            client.setblocking(False)
            clients.append(client)
        answers = 0
        while not self._stop.is_set():
            for client in clients:
                client.send(b"?")
                self.sent += 1
            time.sleep(0.02)
            answers += self._read(clients)
        time.sleep(1)
        self.lost = self.sent - answers - self._read(clients)

    def _read(self, clients: list[socket.socket]) -> int:
        count = 0
        for client in clients:
            try:
                while client.recv(100):
                    count += 1
            except BlockingIOError:
                continue
        return count

    def end(self) -> tuple[int, int]:
        """How many were sent and how many of them were lost."""
        time.sleep(0.3)
        self._stop.set()
        self._thread.join()
        return self.sent, self.lost


@isolated
def test_the_host_moves_from_its_nic_to_a_bridge_and_nothing_is_lost() -> None:
    at, far = host(), Space("eno1")
    serve()
    far.run("addr add 10.0.0.254/24 dev eth0")
    far.run("addr add fd00::fe/64 dev eth0")
    far.run("addr add 192.0.2.1/32 dev lo")  # beyond the default route of the host
    for cidr in ("10.0.0.1/24", "10.0.0.5/24", "fd00::1/64"):
        ip(f"addr add {cidr} dev eno1")
    ip("route add default via 10.0.0.254 proto dhcp metric 100")
    ip("route add 10.9.0.0/16 via 10.0.0.254 proto bgp src 10.0.0.5")
    ip("route add 10.8.0.0/16 via 10.0.0.254 table 77")
    ip("-6 route add default via fd00::fe proto static")
    before = [line.replace("dev eno1", "dev br0") for line in lines("-d route show table all", "proto kernel")]
    six = [line.replace("dev eno1", "dev br0") for line in lines("-d -6 route show table all", "proto kernel")]
    doc = document("Bridge/br0", {"uplink": "eno1", "addresses": ["10.0.0.1/24", "10.0.0.5/24", "fd00::1/64"]})
    assert far.answers("10.0.0.1")
    assert far.answers("10.0.0.1", "192.0.2.1") is True or far.run("route add 10.0.0.0/24 dev eth0 src 192.0.2.1") == ""
    ping = Ping(far, "10.0.0.1", "fd00::1")
    plan = at.converge(doc)
    sent, lost = ping.end()
    assert sent > 30
    assert lost == 0, (sent, lost)
    moved = [op for op in ops(plan) if "move" in op or "attach" in op]
    assert moved == ["bridge.attach", "bridge.route.move", *["bridge.address.move"] * 3]
    assert lines("-d route show table all", "proto kernel") == before
    assert lines("-d -6 route show table all", "proto kernel") == six
    assert at.link("eno1").addresses == ()


@pytest.mark.parametrize("cut", range(2, 9))
@isolated
def test_a_move_that_was_cut_short_is_finished(cut: int) -> None:
    at, _far = host(), Space("eno1")
    for cidr in ("10.0.0.1/24", "fd00::1/64"):
        ip(f"addr add {cidr} dev eno1")
    ip("route add default via 10.0.0.254 proto static")
    doc = document(
        "Bridge/br0",
        {
            "uplink": "eno1",
            "addresses": ["10.0.0.1/24", "fd00::1/64"],
            "routes": [{"to": "10.3.0.0/16", "via": "10.0.0.3"}],
        },
    )
    at.apply(doc, steps=cut)
    at.converge(doc)
    assert at.link("eno1").addresses == ()
    assert set(at.link("br0").addresses) == {"10.0.0.1/24", "fd00::1/64"}
    assert "default via 10.0.0.254 dev br0 proto static" in ip("route show")
    assert ours() == ["10.3.0.0/16 via 10.0.0.3 dev br0"]
