"""The nftables door on the running kernel, in a namespace: what is written is read back, at once and as it is."""

from __future__ import annotations

import os
import select
import socket
import sys

import pytest

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers import nftables as door
from cell_reconciler.drivers.nftables_events import FilterEvents
from cell_reconciler.drivers.observe import observe
from cell_reconciler.errors import StepFailed, Unreachable
from cell_reconciler.model.firewall import Filter, FilterChain, FilterRule
from cell_reconciler.model.live import Source
from tests.network import ip, isolated

HOOKS = ("input", "forward")


def drops(name: str, hook: str = "input", family: str = "inet") -> Filter:
    """A filter of one rule."""
    match = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": name}}
    rule = FilterRule(comment="test", expr=(match, {"counter": None}, {"drop": None}))
    return Filter(chains=(FilterChain(family=family, hook=hook, priority=-10, rules=(rule,)),))


def nft(command: str) -> str:
    from nftables import Nftables

    code, output, error = Nftables().cmd(command)
    assert code == 0, error
    return str(output)


@isolated
@pytest.mark.parametrize("bridge", ["cloud0", "br-VM.101", "a@b+c_d-e", "x" * 15])
def test_what_is_written_is_read_back(bridge: str) -> None:
    doors = Doors()
    assert doors.nftables.observe() == {"filters": {}}
    for hook in HOOKS:
        doors.nftables.replace(bridge, drops(bridge, hook))
        assert doors.nftables.observe() == {"filters": {bridge: drops(bridge, hook).digest()}}
    nft(f"list table inet {door.table_of(bridge)}")  # nft's own grammar takes the name
    doors.nftables.delete(bridge)
    assert doors.nftables.observe() == {"filters": {}}
    doors.nftables.delete(bridge)
    assert doors.writes.calls == {"nftables.replace": 2, "nftables.delete": 2}


def test_names_of_tables_are_told_apart() -> None:
    names = ["a", "a/b", "a.b", "a@b", "a+b", "a_b", "/2B"]
    tables = [door.table_of(name) for name in names]
    assert len(set(tables)) == len(names)
    assert [door.bridge_of(table) for table in tables] == names


@isolated
def test_a_refused_transaction_changes_nothing() -> None:
    doors = Doors()
    doors.nftables.replace("cloud0", drops("cloud0"))
    bad = FilterRule(comment="test", expr=({"jump": {"target": "nowhere"}},))
    with pytest.raises(StepFailed, match="cannot set the packet filter of cloud0"):
        doors.nftables.replace(
            "cloud0", Filter(chains=(FilterChain(family="inet", hook="input", priority=0, rules=(bad,)),))
        )
    assert doors.nftables.filter("cloud0") == drops("cloud0").digest()


@isolated
def test_the_first_that_the_kernel_can_hold() -> None:
    """``meta ibrname`` is refused by a kernel without nft_meta_bridge; outside of its family it is by every kernel."""
    match = {"match": {"op": "==", "left": {"meta": {"key": "ibrname"}}, "right": "x"}}
    rule = FilterRule(comment="test", expr=(match, {"drop": None}))
    lacking = Filter(chains=(FilterChain(family="inet", hook="input", priority=0, rules=(rule,)),))
    doors = Doors()
    doors.nftables.replace("cloud0", lacking, drops("cloud0"))
    assert doors.nftables.filter("cloud0") == drops("cloud0").digest()
    with pytest.raises(StepFailed, match="not supported"):
        doors.nftables.replace("cloud0", lacking)
    assert doors.nftables.filter("cloud0") == drops("cloud0").digest()


@isolated
def test_counted_packets_are_no_change() -> None:
    doors = Doors()
    doors.nftables.replace("x", drops("lo", "input"))
    ip("link set lo up")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"?", ("127.0.0.1", 9))
    assert "packets 1" in nft(f"list table inet {door.table_of('x')}")
    assert doors.nftables.filter("x") == drops("lo", "input").digest()


@isolated
def test_what_others_add_to_a_table_of_ours_is_a_change() -> None:
    doors = Doors()
    doors.nftables.replace("x", drops("x"))
    want = drops("x").digest()
    for family, command in (
        ("inet", "add set inet {0} s {{ type ipv4_addr; }}"),
        ("inet", "add chain inet {0} more"),
        ("ip", "add table ip {0}"),
        ("inet", "add rule inet {0} input accept"),
    ):
        nft(command.format(door.table_of("x")))
        assert doors.nftables.filter("x") not in (None, want), (family, command)
        doors.nftables.replace("x", drops("x"))
        assert doors.nftables.filter("x") == want


@isolated
def test_who_changes_a_table_of_ours_is_heard() -> None:
    doors, events = Doors(), FilterEvents()
    nft("add table inet other; add chain inet other c; add rule inet other c accept")
    assert events.read() == set()
    doors.nftables.replace("br-x.1@y", drops("x"))
    assert events.read() == {"br-x.1@y"}
    nft("flush ruleset")
    assert select.select([events], [], [], 5)[0], "the subscription becomes readable"
    assert events.read() == {"br-x.1@y"}
    assert events.read() == set()
    events.close()


@isolated
def test_without_the_library_only_those_who_need_it_have_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nftables", None)  # as if it were not installed
    with pytest.raises(Unreachable, match="apt install python3-nftables"):
        Doors().nftables.observe()
    sources = (Source.NETLINK, Source.NFTABLES)
    live = observe(Doors(), "h", {}, sources)
    assert [(gap.source, "python3-nftables" in gap.reason) for gap in live.gaps] == [(Source.NFTABLES, True)]
    assert live.filters is None
    live = observe(Doors(), "h", {}, sources, optional=(Source.NFTABLES,))
    assert (live.gaps, live.filters) == ((), None)


@isolated
def test_without_privilege_it_is_unknown_and_not_absent() -> None:
    Doors().nftables.replace("x", drops("x"))
    os.setresuid(65534, 65534, 65534)
    with pytest.raises(Unreachable, match="run it as root"):
        Doors().nftables.observe()
