"""Addresses, routes and rules for property tests: few values, so that they meet each other."""

from __future__ import annotations

from hypothesis import strategies as st

from cell_reconciler.kinds.links.spec import PolicyRule, StaticRoute
from cell_reconciler.model.fields import UNSET

_CIDRS = ("10.0.0.1/24", "10.0.0.2/24", "10.0.1.1/24", "fd00::1/64", "FD00:0::2/64", "fe80::7/64")
_V4 = (("default", "10.0.0.0/16", "10.9.0.1"), (UNSET, "10.0.0.254", "10.0.0.253"), (UNSET, "10.0.0.1"))
_V6 = (("default", "fd01::/64", "FD02:0::/64"), ("fd00::fe", "fe80::1", "FD00:0::fd"), (UNSET, "fd00::1"))


def addresses() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(_CIDRS), unique=True, max_size=4)


def _route(values: tuple[tuple[object, ...], ...]) -> st.SearchStrategy[StaticRoute]:
    to, via, source = values
    return st.builds(
        StaticRoute,
        to=st.sampled_from(to),
        via=st.sampled_from(via),
        source=st.sampled_from(source),
        table=st.sampled_from((254, 100)),
        metric=st.sampled_from((0, 5)),
        mtu=st.sampled_from((UNSET, 1400)),
        on_link=st.booleans(),
    )


def routes() -> st.SearchStrategy[list[StaticRoute]]:
    """IPv4 and IPv6; at most one of an identity, as the check wants it."""

    def unique(route: StaticRoute) -> object:
        return route.to, ":" in str(route.via), route.table, route.metric

    v6_dev = st.builds(StaticRoute, to=st.sampled_from(("fd01::/64", "FD02:0::/64")), metric=st.sampled_from((0, 5)))
    return st.lists(_route(_V4) | _route(_V6) | v6_dev, unique_by=unique, max_size=5)


def rules() -> st.SearchStrategy[list[PolicyRule]]:
    rule = st.builds(
        PolicyRule,
        source=st.sampled_from((UNSET, "default", "10.0.0.1", "10.0.0.0/24")),
        to=st.sampled_from((UNSET, "10.9.0.0/16")),
        table=st.sampled_from((100, 101)),
        priority=st.sampled_from((100, 101)),
        mark=st.sampled_from((UNSET, 5)),
        iif=st.sampled_from((UNSET, "br0")),
    )
    six = st.builds(
        PolicyRule,
        source=st.sampled_from(("::/0", "FD00::/64")),
        table=st.just(100),
        priority=st.sampled_from((100, 101)),
    )
    return st.lists(rule | six, max_size=3)
