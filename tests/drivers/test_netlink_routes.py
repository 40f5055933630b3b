"""Routes and rules through the door, on the kernel itself: what it takes, what it tells, and what it leaves alone."""

from __future__ import annotations

import errno
import select
import socket
import subprocess
import time

import pytest

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.netlink import LinkEvents
from cell_reconciler.drivers.netlink.events import ROUTES as ROUTES_CHANGED
from cell_reconciler.drivers.netlink.events import RULES
from cell_reconciler.drivers.netlink.routes import has_gateway
from cell_reconciler.drivers.netlink.transport import KernelError, Transport
from cell_reconciler.errors import Refused, StepFailed
from cell_reconciler.kinds.links.layer3_actions import SetRoute
from cell_reconciler.model.live import Route, Rule
from cell_reconciler.model.mark import RTPROT
from tests.network import ip, isolated
from tests.spaces import without_dad


def host() -> Doors:
    """A host with two cables, ``n0`` with addresses."""
    without_dad()
    ip("link set lo up")
    for name, peer in (("n0", "n1"), ("m0", "m1")):
        ip(f"link add {name} type veth peer name {peer}")
        ip(f"link set {name} up")
        ip(f"link set {peer} up")
    ip("addr add 10.0.0.1/24 dev n0")
    ip("addr add fd00::1/64 dev n0")
    deadline = time.monotonic() + 20
    # What comes by itself, when the kernel finds time: link-local addresses, and the route of the one that we gave.
    while (now := table()).count("local fe80") < 4 or "local fd00::1 " not in now or now.count("ff00::/8") < 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return Doors()


def table() -> str:
    return ip("-d route show table all") + ip("-d -6 route show table all")


ROUTES = (
    Route(to="10.20.0.0/16", link="n0", protocol=RTPROT),
    Route(to="0.0.0.0/0", link="n0", via="10.0.0.254", protocol=RTPROT),
    Route(
        to="10.21.0.0/16",
        link="n0",
        via="10.0.0.9",
        metric=10,
        table=500,
        source="10.0.0.1",
        mtu=1300,
        protocol=RTPROT,
    ),
    Route(
        to="10.22.0.0/16", link="n0", via="10.99.0.9", onlink=True, metric=2**32 - 1, table=2**32 - 1, protocol=RTPROT
    ),
    Route(to="fd08::/64", link="n0", metric=77, protocol=RTPROT),
    Route(to="::/0", link="n0", via="fd00::5", metric=1024, source="fd00::1", table=999, mtu=1300, protocol=RTPROT),
    Route(to="fd07::/64", link="n0", via="fd77::1", onlink=True, metric=1024, protocol=RTPROT),
)


@isolated
def test_a_route_is_told_as_it_was_given() -> None:
    doors = host()
    door, untouched = doors.netlink, table()
    for route in ROUTES:
        door.set_route(route)
        assert door.static_routes() == (route,)
        door.set_route(route)  # again: no error
        assert door.static_routes() == (route,)
        door.delete_route(route)
        door.delete_route(route)
        assert table() == untouched
    assert doors.writes.calls == {"netlink.set_route": 2 * len(ROUTES), "netlink.delete_route": 2 * len(ROUTES)}


@isolated
def test_a_route_is_replaced_in_one_moment_and_another_metric_adds_one() -> None:
    door = host().netlink
    for old in (ROUTES[1], ROUTES[5]):
        via = "10.0.0.253" if old.via == "10.0.0.254" else "fd00::6"
        new = Route(to=old.to, link="n0", via=via, metric=old.metric, table=old.table, protocol=RTPROT)
        other = Route(to=old.to, link="n0", via=via, metric=old.metric + 1, table=old.table, protocol=RTPROT)
        door.set_route(old)
        door.set_route(new, replace=True)
        assert door.static_routes() == (new,)
        door.set_route(other, replace=True)
        assert set(door.static_routes()) == {new, other}
        door.delete_route(new)
        assert door.static_routes() == (other,)
        door.delete_route(other)


@isolated
def test_a_refusal_says_what_the_kernel_says() -> None:
    door = host().netlink
    with pytest.raises(StepFailed, match=r"10\.7\.0\.0/16 through n0: .*gateway.*"):
        door.set_route(Route(to="10.7.0.0/16", link="n0", via="10.99.0.1", protocol=RTPROT))
    with pytest.raises(StepFailed, match="there is no link gone0"):
        door.set_route(Route(to="10.7.0.0/16", link="gone0", protocol=RTPROT))
    door.delete_route(Route(to="10.7.0.0/16", link="gone0", protocol=RTPROT))  # which is so already


@isolated
def test_what_others_set_is_told_and_what_daemons_set_is_not() -> None:
    door = host().netlink
    ip("route add default via 10.0.0.254")
    ip("route add 10.9.0.0/16 via 10.0.0.3 proto bgp")
    ip("route add 10.8.0.0/16 via 10.0.0.3 proto dhcp metric 5")
    ip("route add blackhole 10.7.0.0/16")
    ip("route add 10.6.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3")
    ip("route add fd02::/64 via fe80::9 dev n0 proto static")
    found = {route.to: route for route in door.static_routes()}
    assert found.keys() == {"0.0.0.0/0", "10.8.0.0/16", "10.7.0.0/16", "10.6.0.0/16", "fd02::/64"}
    assert found["0.0.0.0/0"] == Route(to="0.0.0.0/0", link="n0", via="10.0.0.254", protocol=3)
    assert found["10.8.0.0/16"] == Route(to="10.8.0.0/16", link="n0", via="10.0.0.3", metric=5, protocol=16)
    assert found["10.7.0.0/16"] == Route(to="10.7.0.0/16", link=None, protocol=3, type="blackhole")
    assert found["10.6.0.0/16"] == Route(to="10.6.0.0/16", link=None, protocol=3, detail="several next hops")
    assert found["fd02::/64"] == Route(to="fd02::/64", link="n0", via="fe80::9", metric=1024, protocol=4)
    assert tuple(door.observe()["routes"]) == door.static_routes()


@isolated
def test_a_thousand_routes_of_a_daemon_cost_little() -> None:
    door = host().netlink
    batch = "".join(f"route add 11.{n >> 8}.{n & 255}.0/24 dev m0 proto bgp\n" for n in range(20_000))

    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True, capture_output=True)
    spent = time.process_time()
    for _ in range(10):
        assert door.static_routes() == ()
    assert (time.process_time() - spent) / 10 < 0.05  # dumped and decoded, they take half a second


RULES_OF_OURS = (
    Rule(family=4, priority=50, table=1000, source="10.0.0.0/24", to="10.1.0.0/16", mark=7, iif="n0", protocol=RTPROT),
    Rule(family=4, priority=51, table=2**32 - 1, protocol=RTPROT),
    Rule(family=6, priority=50, table=100, source="fd00::1/128", protocol=RTPROT),
    Rule(family=6, priority=51, table=100, iif="gone0", protocol=RTPROT),
)


@isolated
def test_a_rule_is_told_as_it_was_given() -> None:
    door = host().netlink
    assert door.rules() == ()
    for rule in RULES_OF_OURS:
        door.add_rule(rule)
        door.add_rule(rule)
        assert door.rules() == (rule,)
        door.delete_rule(rule)
        door.delete_rule(rule)
        assert door.rules() == ()


@isolated
def test_a_rule_of_others_with_the_same_words_stays() -> None:
    door = host().netlink
    ip("rule add from 10.5.0.0/16 table 9 prio 77")
    ip("rule add not to 10.0.0.0/8 blackhole prio 78")
    before = door.rules()
    assert [(rule.priority, rule.detail) for rule in before] == [(77, ""), (78, "not")]
    ours = Rule(family=4, priority=77, table=9, source="10.5.0.0/16", protocol=RTPROT)
    door.add_rule(ours)
    door.delete_rule(ours)
    assert door.rules() == before


@isolated
def test_a_kernel_without_ipv6_has_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    door = host().netlink
    ip("rule add from 10.5.0.0/16 table 9 prio 77")
    ip("route add default via 10.0.0.254")
    dump = Transport.dump

    def without_ipv6(self: Transport, payload: bytes, kind: int) -> list[bytes]:
        if payload[0] == socket.AF_INET6:
            raise KernelError(errno.EAFNOSUPPORT, "")
        return dump(self, payload, kind)

    monkeypatch.setattr(Transport, "dump", without_ipv6)
    assert len(door.rules()) == len(door.static_routes()) == 1


@isolated
def test_events_name_the_links_of_routes_and_the_rules() -> None:
    host()
    events = LinkEvents()
    while select.select([events], [], [], 0.5)[0]:  # the kernel tells later, at its leisure, that a link works
        events.read()

    def heard(*commands: str) -> set[str] | None:
        events.read()
        for command in commands:
            ip(command)
        return events.read()

    assert heard("route add 10.1.0.0/16 via 10.0.0.2") == {"n0", ROUTES_CHANGED}
    assert heard("route del 10.1.0.0/16") == {"n0", ROUTES_CHANGED}
    assert heard("route add fd01::/64 dev m0") == {"m0", ROUTES_CHANGED}
    assert heard("route add 10.2.0.0/16 nexthop via 10.0.0.2 nexthop dev m0") == {"n0", "m0", ROUTES_CHANGED}
    assert heard("route add blackhole 10.5.0.0/16") == {ROUTES_CHANGED}
    assert heard("route add 10.3.0.0/16 via 10.0.0.2 proto bgp") == set()  # the kernel drops it before us
    assert heard("rule add from 10.0.0.0/8 table 5") == {RULES}
    assert heard("-6 rule add from fd00::/64 table 5") == {RULES}
    assert heard("route add 10.4.0.0/16 via 10.0.0.2 proto bgp", "link set m1 mtu 1400") == {"m1"}
    events.close()


@isolated
def test_every_route_of_a_link_moves_as_it_is() -> None:
    door = host().netlink
    ip("route add default via 10.0.0.254")
    ip("route add 10.9.0.0/16 via 10.0.0.3 proto bgp src 10.0.0.1")
    ip("route add 10.8.0.0/16 dev n0 metric 5 mtu 1400 table 1000 proto dhcp")
    ip("route add 10.6.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3")
    ip("-6 route add default via fd00::2 proto dhcp")
    ip("-6 route add fd01::/64 dev n0")
    ip("-6 route append fd01::/64 dev m0")  # IPv6 has one through each link
    ip("link add br0 type bridge")
    ip("link set br0 up")
    ip("addr add 10.0.0.1/24 dev br0")
    ip("addr add fd00::1/64 dev br0")

    def of_people() -> list[str]:
        return sorted(line for line in table().splitlines() if "proto kernel" not in line and "fd01" not in line)

    before = of_people()
    door.move_routes("n0", "br0")
    assert of_people() == sorted(line.replace("dev n0", "dev br0") for line in before)
    assert door.carried("n0") == ()
    assert {r.link for r in door.static_routes() if r.to == "fd01::/64"} == {"br0", "m0"}


@isolated
def test_what_is_saved_comes_back() -> None:
    door = host().netlink
    ip("route add 10.6.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3")
    ip("route add default via 10.0.0.254 proto dhcp metric 100 initcwnd 20")
    door.set_route(ROUTES[2])
    before, saved = table(), sorted(door.carried("n0"), key=has_gateway)
    assert {route.link for route in door.routes()} == {"", "n0"}
    ip("link set n0 down")
    ip("link set n0 up")
    assert table() != before
    for route in saved:
        door.add_route(route, beside=True)
    assert _without_ipv6(table()) == _without_ipv6(before)


def _without_ipv6(lines: str) -> list[str]:
    return [line for line in lines.splitlines() if "pref medium" not in line]


@isolated
def test_addresses_of_ipv6_come_back_and_count_at_once() -> None:
    door = host().netlink
    ip("addr add fd01::7/64 dev n0 valid_lft 3600 preferred_lft 600")
    saved = door.ipv6_addresses("n0")
    ip("link set n0 down")
    assert not [a for a in door.observe()["links"]["n0"].addresses if a.startswith("fd")]
    ip("link set n0 up")
    for message in saved:
        door.return_address("n0", message)
        door.return_address("n0", message)
    link = door.link("n0")
    assert link is not None
    assert "fd00::1/64" in link.addresses
    assert link.dynamic_addresses == ("fd01::7/64",)
    assert door.tentative("n0") == ()
    assert socket.create_server(("fd00::1", 0, 0, 0), family=socket.AF_INET6)


@isolated
def test_the_route_of_a_daemon_is_told_when_it_is_asked_for() -> None:
    """It is not among those that are looked at, and stands in the way of one of ours: then it is named."""
    doors = host()
    door = doors.netlink
    for family, to, via in (("", "10.61.0.0/16", "10.0.0.254"), ("-6 ", "fd61::/64", "fd00::9")):
        assert door.route_to(to) is None
        ip(f"{family}route add {to} via {via} dev n0 proto bird")
        found = door.route_to(to)
        assert found is not None
        assert (found.to, found.via, found.link, found.protocol) == (to, via, "n0", 12)
        assert found not in door.static_routes()
    taken = Route(to="10.61.0.0/16", link="n0", via="10.0.0.253", protocol=RTPROT)
    with pytest.raises(Refused, match=r"was set by somebody else \(protocol bird\)"):
        SetRoute(name="n0", route=taken).do(doors)
    ip("route add 10.61.0.0/24 via 10.0.0.253 dev n0")
    assert door.route_to("10.61.0.0/16") is None, "a smaller one is before it"
