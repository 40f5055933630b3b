"""Any documents after any others, with things of others between them, on a kernel in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.kinds.compare import plain
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.layer3_values import identity, to_route, to_rule
from cell_reconciler.model.change import Plan
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live, Route, Rule
from cell_reconciler.model.mark import RTPROT
from tests.fakes.door import FakeNetlink
from tests.fakes.kernel import Kernel
from tests.kinds.layer3 import addresses, routes, rules
from tests.network import HOST, NetworkHost, document, problems

ADDRESSES, ROUTES, RULES = addresses(), routes(), rules()
BASE = {"br0": ["10.0.0.1/24", "fd00::1/64"], "br1": ["10.5.0.1/24", "fd05::1/64"]}


class MemoryHost(NetworkHost):
    """Plans and applies with a door to a kernel in memory."""

    def __init__(self) -> None:
        writes = Writes()
        self.doors: Any = SimpleNamespace(netlink=FakeNetlink(Kernel(), writes), writes=writes)

    def live(self) -> Live:
        return Live(host=HOST, **self.doors.netlink.observe())


@st.composite
def declared(draw: st.DrawFn) -> list[Document]:
    """Two bridges that are valid together; each has an address of both families, so that gateways are reached."""
    documents: list[Document] = []
    for name, base in BASE.items():
        more = [cidr for cidr in draw(ADDRESSES) if cidr not in ("10.0.0.1/24", "fd00::1/64")]
        spec = {
            "addresses": base + more,
            "routes": plain(tuple(route for route in draw(ROUTES) if _reached(route, name))),
            "rules": plain(tuple(draw(RULES))),
        }
        doc = document(f"Bridge/{name}", spec)
        valid = not problems(doc, *documents)
        documents.append(doc if valid else document(f"Bridge/{name}", {"addresses": base}))
    return documents


def _reached(route: Any, name: str) -> bool:
    """The addresses of gateways and sources are those of br0."""
    return name == "br0" or not (route.source or (route.via and not route.on_link))


FOREIGN_ROUTES = (
    Route(to="0.0.0.0/0", link="br0", via="10.0.0.254", protocol=3),
    Route(to="10.0.0.0/16", link="br0", metric=5, protocol=16),
    Route(to="fd01::/64", link="br0", metric=1024, protocol=4),
    Route(to="::/0", link="br0", via="fe80::1", metric=1024, protocol=4),
)
FOREIGN_RULES = (
    Rule(family=4, priority=100, table=100, source="10.0.0.1/32", protocol=3),
    Rule(family=4, priority=100, table=100, detail="not", source="10.0.0.0/24", protocol=3),
)


def _put(at: MemoryHost, found: list[Route], policy: list[Rule]) -> None:
    """What somebody else sets; where ours stands in his way, he does not."""
    live, tables = at.live(), at.doors.netlink.kernel.layer3
    taken = {identity(route) for route in live.routes}
    tables.routes += [route for route in found if identity(route) not in taken]
    taken_rules = {to_rule_words(rule) for rule in live.rules}
    tables.rules += [rule for rule in policy if to_rule_words(rule) not in taken_rules]


def to_rule_words(rule: Rule) -> str:
    return str(rule).replace(f"protocol={rule.protocol}", "")


@settings(max_examples=200)
@given(
    declared(),
    declared(),
    st.lists(st.sampled_from(FOREIGN_ROUTES), unique=True),
    st.lists(st.sampled_from(FOREIGN_RULES), unique=True),
)
def test_what_is_wanted_is_there_and_what_is_not_ours_stays(
    first: list[Document], second: list[Document], found: list[Route], policy: list[Rule]
) -> None:
    at = MemoryHost()
    at.converge(*first, prune=True)
    _put(at, found, policy)
    before = _of_others(at)
    plan = at.apply(*second, prune=True)
    assert _of_others(at) == before
    _settled(at, plan, second)


def _of_others(at: MemoryHost) -> tuple[set[Route], set[Rule]]:
    live = at.live()
    routes = {route for route in live.routes if route.protocol != RTPROT}
    return routes, {rule for rule in live.rules if rule.protocol != RTPROT}


def _settled(at: MemoryHost, plan: Plan, documents: list[Document]) -> None:
    """Nothing is left to do but what was refused, and the kernel has nothing of ours that nobody wants."""
    again = at.plan(*documents, prune=True)
    assert not again.steps, [step.text for step in again.steps]
    refused = {change.key for change in plan.changes if change.refused}
    live = at.live()
    want = {to_route(d.key.name, r) for d in documents for r in layer3.canonical(d.spec).routes}
    ours = {route for route in live.routes if route.protocol == RTPROT}
    assert ours <= want
    foreign = {(identity(r), r.link) for r in live.routes if r.protocol != RTPROT}
    for route in want - ours:
        assert (identity(route), route.link) in foreign or any(key.name == route.link for key in refused)
    wanted_rules = {to_rule(rule) for d in documents for rule in layer3.canonical(d.spec).rules}
    assert {rule for rule in live.rules if rule.protocol == RTPROT} <= wanted_rules
    words = {to_rule_words(rule) for rule in live.rules}
    assert all(to_rule_words(rule) in words for rule in wanted_rules)
    for doc in documents:
        assert set(live.links[doc.key.name].owned_addresses) == set(layer3.canonical(doc.spec).addresses)
