"""Calls of the netlink door for the contract suite: routes and policy rules. Each script tells one rule."""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.model.live import Route, Rule
from cell_reconciler.model.mark import RTPROT
from tests.fakes.play import Call, call


def _route(to: str, via: str | None = None, link: str = "br0", **more: Any) -> Route:
    return Route(to=to, link=link, via=via, **{"protocol": 4, "metric": 1024 if ":" in to else 0} | more)


_BR0 = [
    call("create_link", "br0", "bridge"),
    call("set_link", "br0", up=True),
    call("add_address", "br0", "10.0.0.1/24"),
    call("add_address", "br0", "fd00::1/64", check=False),
]
_RULE = Rule(family=4, priority=1000, table=100, source="10.0.0.1/32", protocol=4)
ROUTES: dict[str, list[Call]] = {
    "a route has an identity, a gateway that is reached, and a source that is local": [
        *_BR0,
        call("set_route", _route("0.0.0.0/0", "10.0.0.254")),
        call("set_route", _route("0.0.0.0/0", "10.0.0.253")),
        call("set_route", _route("0.0.0.0/0", "10.0.0.253"), replace=True),
        call("set_route", _route("0.0.0.0/0", "10.0.0.254", metric=7)),
        call("set_route", _route("10.9.0.0/16", "10.0.0.1")),
        call("set_route", _route("10.9.0.0/16", "192.0.2.1")),
        call("set_route", _route("10.9.0.0/16", "192.0.2.1", onlink=True)),
        call("set_route", _route("10.8.0.0/16")),
        call("set_route", _route("10.10.0.0/16", "10.8.0.1")),
        call("set_route", _route("10.7.0.0/16", source="10.0.0.9")),
        call("set_route", _route("10.7.0.0/16", source="10.0.0.1")),
        call("set_route", _route("10.6.0.0/16", link="eno1")),
        call("set_route", _route("10.6.0.0/16", link="absent")),
        call("delete_route", _route("10.9.0.0/16", "192.0.2.9")),
        call("delete_route", _route("10.9.0.0/16", "192.0.2.1", protocol=16)),
        call("delete_route", _route("10.9.0.0/16", "192.0.2.1", onlink=True)),
        call("delete_route", _route("0.0.0.0/0", "10.0.0.254", metric=7)),
    ],
    "without a metric, of several routes the one of the lowest metric is deleted": [
        *_BR0,
        call("set_route", _route("0.0.0.0/0", metric=5)),
        call("set_route", _route("0.0.0.0/0", "10.0.0.254")),
        call("set_route", _route("0.0.0.0/0", "10.0.0.254", metric=5), replace=True),
        call("delete_route", _route("0.0.0.0/0", "10.0.0.254")),
    ],
    "with the last IPv4 address of a link go all its IPv4 routes, with a source those that send from it": [
        *_BR0,
        call("add_address", "br0", "10.1.0.1/16"),
        call("set_route", _route("10.7.0.0/16", source="10.1.0.1")),
        call("set_route", _route("10.9.0.0/16", "192.0.2.1", onlink=True)),
        call("set_route", _route("10.8.0.0/16")),
        call("set_route", _route("10.6.0.0/16", "10.1.0.9")),
        call("delete_address", "br0", "10.1.0.1/16"),
        call("delete_address", "br0", "10.0.0.1/24"),
        call("set_route", _route("10.8.0.0/16")),
    ],
    "what goes with a link that goes down": [
        *_BR0,
        call("set_route", _route("10.8.0.0/16")),
        call("set_route", _route("fd01::/64", "fd00::fe")),
        call("set_link", "br0", up=False),
        call("set_route", _route("10.8.0.0/16")),
        call("set_link", "br0", up=True),
        call("set_route", _route("10.8.0.0/16")),
        call("delete_link", "br0"),
    ],
    "IPv6 has a route through each link": [
        *_BR0,
        call("create_link", "br1", "bridge"),
        call("set_link", "br1", up=True),
        call("set_route", _route("fd01::/64")),
        call("set_route", _route("fd01::/64", link="br1")),
        call("set_route", _route("fd02::/64", "fd00::fe")),
        call("set_route", _route("fd02::/64", "fd00::fd")),
        call("set_route", _route("fd02::/64", "fd00::fc"), replace=True),
        call("set_route", _route("fd03::/64", "fd09::1")),
        call("set_route", _route("fd03::/64", source="fd00::1")),
        call("delete_address", "br0", "fd00::1/64"),
        call("disable_ipv6", "br0"),
        call("set_route", _route("fd01::/64")),
    ],
    "routes move to another link": [
        *_BR0,
        call("create_link", "br1", "bridge"),
        call("set_link", "br1", up=True),
        call("add_address", "br1", "10.0.0.1/24"),
        call("set_route", _route("10.8.0.0/16")),
        call("set_route", _route("0.0.0.0/0", "10.0.0.254")),
        call("set_route", _route("10.7.0.0/16", source="10.0.0.1", protocol=16)),
        call("move_routes", "br0", "br1"),
        call("delete_address", "br0", "10.0.0.1/24"),
    ],
    "rules": [
        call("add_rule", _RULE),
        call("add_rule", _RULE),
        call("add_rule", msgspec.structs.replace(_RULE, protocol=RTPROT)),
        call("add_rule", msgspec.structs.replace(_RULE, table=101)),
        call("add_rule", Rule(family=4, priority=1001, table=100, iif="br9", mark=7, protocol=RTPROT)),
        call("delete_rule", Rule(family=4, priority=1001, table=100, iif="br9", mark=7, protocol=RTPROT)),
        call("delete_rule", _RULE),
        call("delete_rule", _RULE),
    ],
}
