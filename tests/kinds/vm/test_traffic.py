"""Bandwidth and filters of interfaces: what documents may say, what it takes, and filters that are not there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.model.change import Change, Risk, Verb
from cell_reconciler.model.live import Domain, Live
from tests.kinds.vm.make import VM, planned, vm, world
from tests.kinds.vm.schema import rendered

LAN: dict[str, Any] = {"name": "lan", "bridge": "br-VM"}
CLEAN: dict[str, Any] = {"name": "clean-traffic", "parameters": {"IP": ["10.0.0.5"]}}
BOTH: dict[str, Any] = {"inbound": {"average": 1000, "peak": 2000, "burst": 512}, "outbound": {"average": 500}}


def plan(before: dict[str, Any], after: dict[str, Any], filters: tuple[str, ...] | None = ("clean-traffic",)) -> Change:
    """The plan for a running VM whose interface has some fields, and is to have others."""
    around = Live(host="h1", nwfilters=filters)
    first = vm("web", interfaces=[{**LAN, **before}])
    text = xml.text(rendered(planned(first, world(first, live=msgspec.structs.replace(around, nwfilters=None)))))
    domain = Domain(uuid="u", name="web", state="running", inactive=text, active=text)
    doc = vm("web", interfaces=[{**LAN, **after}])
    return planned(doc, world(doc, live=msgspec.structs.replace(around, domains={"web": domain})))


@pytest.mark.parametrize(
    ("before", "after", "op", "said"),
    [
        ({}, {"bandwidth": BOTH}, "vm.bandwidth", "limit inbound 1000 kB/s and outbound 500 kB/s"),
        ({"bandwidth": BOTH}, {"bandwidth": {"outbound": {"average": 500}}}, "vm.bandwidth", "limit outbound 500"),
        ({"bandwidth": BOTH}, {}, "vm.bandwidth", "no limit"),
        ({}, {"filter": CLEAN}, "vm.filter", "filter clean-traffic"),
        ({"filter": CLEAN}, {"filter": {"name": "clean-traffic"}}, "vm.filter", "filter clean-traffic"),
        ({"filter": CLEAN}, {}, "vm.filter", "no filter"),
    ],
)
def test_changed_at_once_without_a_risk(before: dict[str, Any], after: dict[str, Any], op: str, said: str) -> None:
    change = plan(before, after)
    assert [step.op for step in change.steps] == ["vm.redefine", op]
    assert said in change.steps[1].text
    assert change.risk == Risk.NONE
    assert not change.pending
    assert plan(after, after).quiet


def test_one_call_for_all_that_changes_in_an_interface() -> None:
    change = plan({}, {"bridge": "br-2", "link": "down", "bandwidth": BOTH, "filter": CLEAN})
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.move-interface"]
    for word in ("move it to br-2", "link down", "limit inbound", "filter clean-traffic"):
        assert word in change.steps[1].text


def test_a_filter_that_the_host_does_not_have_is_refused_before_anything_is_done() -> None:
    for change in (plan({}, {"filter": CLEAN}, filters=()), _created(filters=("other",))):
        assert change.steps == ()
        (refusal,) = change.refused
        assert (refusal.reason, "clean-traffic" in refusal.message) == ("UnknownFilter", True)
        assert "nwfilter-define" in refusal.advice
    assert _created(filters=None).verb == Verb.CREATE, "a snapshot that does not tell is no reason to refuse"
    assert not _created(filters=None).refused
    kept = plan({"filter": CLEAN}, {"filter": CLEAN, "link": "down"}, filters=())
    assert not kept.refused, "what runs with it is not held up"


def _created(filters: tuple[str, ...] | None) -> Change:
    doc = vm("web", interfaces=[{**LAN, "filter": CLEAN}])
    return planned(doc, world(doc, live=Live(host="h1", nwfilters=filters)))


@pytest.mark.parametrize(
    ("fields", "rule", "pointer"),
    [
        ({"bandwidth": {}}, "vm-bandwidth", "/bandwidth"),
        ({"bandwidth": {"inbound": {"average": 10, "peak": 9}}}, "vm-bandwidth", "/bandwidth/inbound/peak"),
        (
            {"filter": {"name": "x", "parameters": {"IP": ["10.0.0.5", "10.0.0.500"]}}},
            "vm-filter-address",
            "/filter/parameters/IP/1",
        ),
        (
            {"filter": {"name": "x", "parameters": {"IPV6": ["10.0.0.5"]}}},
            "vm-filter-address",
            "/filter/parameters/IPV6/0",
        ),
    ],
)
def test_what_would_fail_later_is_refused_offline(fields: dict[str, Any], rule: str, pointer: str) -> None:
    doc = vm("web", interfaces=[{**LAN, **fields}])
    found = [(p.rule, p.pointer) for p in VM.check(doc, {doc.key: doc})]
    assert found == [(rule, f"/spec/interfaces/0{pointer}")]


@pytest.mark.parametrize(
    "fields",
    [
        {"filter": {"name": "x'/><y"}},
        {"filter": {"name": "x", "parameters": {"IP": ["'/>"]}}},
        {"filter": {"name": "x", "parameters": {"I P": ["1"]}}},
        {"bandwidth": {"inbound": {"peak": 9}}},
        {"bandwidth": {"inbound": {"average": 0}}},
        {"bandwidth": {"inbound": {"average": 2**32}}},
    ],
)
def test_what_is_no_filter_and_no_rate_does_not_fit_the_schema(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        vm("web", interfaces=[{**LAN, **fields}])
