"""What documents may say about addresses, routes and rules, and how it is written."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.layer3_values import to_policy, to_route, to_rule, to_static
from cell_reconciler.kinds.links.spec import PolicyRule, StaticRoute
from cell_reconciler.model.document import Document
from tests.kinds.layer3 import addresses, routes, rules
from tests.network import document, problems

OWN = ["10.0.0.1/24", "fd00::1/64"]


def bridge(name: str = "a", **spec: Any) -> Document:
    return document(f"Bridge/{name}", spec)


@pytest.mark.parametrize(
    ("route", "rule"),
    [
        ({"to": "10.1.0.1/16"}, "route-network"),
        ({"to": "10.1.0.0/33"}, "route-network"),
        ({"to": "10.1.0.1"}, None),
        ({"to": "fd01::1/64"}, "route-network"),
        ({"to": "10.1.0.0/16", "via": "fd00::2"}, "route-family"),
        ({"to": "10.1.0.0/16", "via": "10.0.0.2", "source": "fd00::1"}, "route-family"),
        ({"to": "default", "via": "10.0.0.300"}, "route-network"),
        ({"to": "10.1.0.0/16", "via": "10.0.0.300"}, "address"),
        ({"to": "10.1.0.0/16", "via": "224.0.0.1"}, "address"),
        ({"to": "default", "via": "fd00::2"}, None),
        ({"to": "default", "via": "fe80::2"}, None),
        ({"to": "default", "via": "10.0.1.2"}, "route-gateway"),
        ({"to": "default", "via": "fd01::2"}, "route-gateway"),
        ({"to": "default", "via": "10.0.0.1"}, "route-gateway"),
        ({"to": "default", "via": "10.0.1.2", "onLink": True}, None),
        ({"to": "10.1.0.0/16", "onLink": True}, "route-on-link"),
        ({"to": "10.1.0.0/16", "table": 255}, "route-table"),
        ({"to": "default"}, None),
    ],
)
def test_a_route(route: dict[str, Any], rule: str | None) -> None:
    assert problems(bridge(addresses=OWN, routes=[route])) == ({rule} if rule else set())


def test_a_gateway_may_be_behind_a_route_of_the_link_and_needs_no_address_of_its_family() -> None:
    behind = [{"to": "10.9.0.0/24"}, {"to": "default", "via": "10.9.0.1"}]
    assert problems(bridge(addresses=OWN, routes=behind)) == set()
    assert problems(bridge(addresses=OWN, routes=[behind[0] | {"table": 7}, behind[1]])) == {"route-gateway"}
    assert problems(bridge(addresses=OWN, routes=[behind[0], behind[1] | {"table": 7}])) == set()
    assert problems(bridge(routes=[behind[1]])) == set()
    assert problems(bridge(addresses=OWN[1:], routes=[behind[1]])) == set()


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"from": "10.0.0.1/24"}, "rule-network"),
        ({"from": "10.0.0.1"}, None),
        ({"from": "10.0.0.0/24", "to": "fd00::/64"}, "rule-family"),
        ({"from": "default", "to": "fd00::/64"}, None),
        ({"to": "10.0.0.0/99"}, "rule-network"),
        ({}, None),
    ],
)
def test_a_rule(rule: dict[str, Any], problem: str | None) -> None:
    doc = bridge(rules=[{"table": 100, "priority": 100} | rule])
    assert problems(doc) == ({problem} if problem else set())


def test_the_message_names_the_network_that_was_meant() -> None:
    doc = bridge(routes=[{"to": "10.1.0.1/16"}])
    (problem,) = layer3.check(doc, {doc.key: doc})
    assert problem.message == "10.1.0.1/16 has host bits set: the network is 10.1.0.0/16, the host 10.1.0.1/32"
    assert problem.pointer == "/spec/routes/0/to"


def test_what_a_host_has_once() -> None:
    default = {"to": "default", "via": "10.0.0.2"}
    a = bridge("a", addresses=["10.0.0.1/24"], routes=[default, {"to": "fd01::/64"}])
    same = bridge("b", routes=[{"to": "0.0.0.0/0", "metric": 0}])
    assert problems(a, same) == problems(same, a) == {"default-route-twice"}
    assert problems(a, bridge("b", routes=[{"to": "fd01:0::/64", "metric": 1024}])) == {"route-twice"}
    assert problems(a, bridge("b", routes=[{**default, "metric": 1}, {"to": "fd01::/64", "table": 7}])) == set()
    assert problems(bridge(routes=[default, {"to": "default"}])) == {"default-route-twice"}
    rule = {"from": "10.0.0.1", "table": 100, "priority": 100}
    one, two = bridge("a", rules=[rule]), bridge("b", rules=[rule | {"from": "10.0.0.1/32", "table": 101}])
    assert problems(one, two) == problems(two, one) == {"rule-twice"}
    assert problems(bridge(rules=[rule, rule])) == {"rule-twice"}
    assert problems(one, bridge("b", rules=[rule | {"priority": 101}])) == set()


def test_an_address_is_on_one_link_but_for_link_local_ones() -> None:
    assert problems(bridge("a", addresses=["FD00::1/64"]), bridge("b", addresses=["fd00:0::1/64"])) == {
        "address-of-two"
    }
    assert problems(bridge("a", addresses=["fe80::1/64"]), bridge("b", addresses=["fe80::1/64"])) == set()


@pytest.mark.parametrize("more", [{"addresses": OWN}, {"routes": [{"to": "default", "via": "fe80::1"}]}])
def test_without_ipv6_there_is_none(more: dict[str, Any]) -> None:
    assert problems(bridge(ipv6=False, **more)) == {"ipv6-off"}
    assert problems(bridge(ipv6=True, **more)) == set()


def test_a_thousand_documents_are_checked_in_no_time() -> None:
    def doc(n: int) -> Document:
        net = f"10.{n >> 8}.{n & 255}"
        rule = {"from": f"{net}.1", "table": n + 1000, "priority": 100}
        return bridge(
            f"br{n}",
            addresses=[f"{net}.1/24"],
            routes=[{"to": "default", "via": f"{net}.2", "table": n + 1000}],
            rules=[rule],
        )

    documents = {doc.key: doc for doc in map(doc, range(2000))}
    spent = time.process_time()
    assert [problem for doc in documents.values() for problem in layer3.check(doc, documents)] == []
    assert time.process_time() - spent < 5  # every pair of them would take minutes


def test_as_the_kernel_writes_it() -> None:
    spec = bridge(
        addresses=["FD00:0::1/64", "10.0.0.1/24"],
        routes=[{"to": "default", "via": "FD00::2"}, {"to": "default"}, {"to": "10.1.0.1", "metric": 0}],
        rules=[
            {"from": "default", "to": "fd00::1", "table": 1, "priority": 1},
            {"from": "::/0", "table": 1, "priority": 1},
        ],
    ).spec
    found = layer3.canonical(spec)
    assert found.addresses == ("10.0.0.1/24", "fd00::1/64")
    assert [(r.to, r.metric) for r in found.routes] == [("0.0.0.0/0", 0), ("10.1.0.1/32", 0), ("::/0", 1024)]
    assert [(r.source, r.to) for r in found.rules] == [("::/0", layer3.UNSET), (layer3.UNSET, "fd00::1/128")]


@given(addresses(), routes(), rules())
def test_canonical_is_idempotent_whatever_the_order(
    address: list[str], route: list[StaticRoute], rule: list[PolicyRule]
) -> None:
    spec = BridgeSpec(addresses=tuple(address), routes=tuple(route), rules=tuple(rule))
    other = BridgeSpec(addresses=tuple(address[::-1]), routes=tuple(route[::-1]), rules=tuple(rule[::-1]))
    once = layer3.canonical(spec)
    assert layer3.canonical(once) == once == layer3.canonical(other)
    assert all(to_static(to_route("a", r)) == r for r in once.routes)
    assert all(to_policy(to_rule(r)) == r for r in once.rules)


@given(st.text(alphabet="0123456789abcdef:./", max_size=12), st.text(alphabet="0123456789abcdef:.", max_size=12))
def test_no_text_makes_the_check_fail(network: str, address: str) -> None:
    spec = BridgeSpec(
        addresses=(network,),
        routes=(StaticRoute(to=network, via=address), StaticRoute(to="default", via=address, source=address)),
        rules=(PolicyRule(source=network, to=network, table=1, priority=1),),
    )
    from cell_reconciler.model.diagnostic import Position
    from cell_reconciler.model.key import Key

    doc = Document(key=Key("Bridge", "a"), spec=spec, given={}, position=Position("a.yaml", 1))
    found = list(kind("Bridge").check(doc, {doc.key: doc}))
    if not found:
        layer3.canonical(spec)
