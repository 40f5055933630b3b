"""Internal bridges on a real kernel, with packets: who reaches whom, and what a flush of the rules does."""

from __future__ import annotations

import pytest

from cell_reconciler.kinds.bridge import isolation
from cell_reconciler.model.change import Plan
from tests.isolation import DOCUMENT, Stage, condition, passing
from tests.network import NetworkHost, document, ip, isolated, ops, refusals

pytestmark = pytest.mark.live


@isolated
def test_reachable_from_the_host_alone() -> None:
    stage = Stage()
    assert passing(stage.wanted) == set(stage.wanted)
    assert passing(stage.unwanted) == set()
    stage.flush()
    assert passing(stage.wanted) == set(stage.wanted)
    assert passing(stage.unwanted) == set(stage.unwanted), "without our rules all of it passes"
    plan = stage.host.converge(DOCUMENT)
    assert ops(plan) == ["bridge.filter"], "the next pass repairs what was flushed"
    assert passing(stage.wanted) == set(stage.wanted)
    assert passing(stage.unwanted) == set()


@isolated
def test_an_older_address_that_somebody_else_set_is_kept_in_too() -> None:
    stage = Stage()
    ip("addr add 169.254.7.7/16 dev cloud0")
    assert stage.guest.answers("169.254.7.7")
    assert not stage.neighbour.answers("169.254.7.7")


@isolated
def test_the_filter_comes_first_and_goes_last() -> None:
    host = NetworkHost()
    plan = host.converge(DOCUMENT)
    assert ops(plan)[0] == "bridge.filter"
    plan = host.converge(document("Bridge/keep"), prune=True)
    assert [op for op in ops(plan) if "keep" not in op][-1] == "bridge.filter.delete"
    assert host.live().filters == {}


@isolated
def test_a_crash_after_any_step() -> None:
    host, keep, number = NetworkHost(), document("Bridge/keep"), 0
    host.converge(keep)
    while True:
        made = host.apply(DOCUMENT, keep, steps=number)
        host.converge(DOCUMENT, keep)
        removed = host.apply(keep, prune=True, steps=number)
        host.converge(keep, prune=True)
        assert (host.live().filters, "cloud0" in host.live().links) == ({}, False)
        if number > max(len(made.steps), len(removed.steps)):
            break
        number += 1


@isolated
def test_from_internal_to_normal_and_back() -> None:
    host = NetworkHost()
    internal = document("Bridge/br-x", {"mode": "internal", "addresses": ["169.254.0.1/16"]})
    normal = document("Bridge/br-x", {"addresses": ["169.254.0.1/16"]})
    host.converge(internal)
    assert ops(host.converge(normal))[0] == "bridge.filter.delete"
    assert host.live().filters == {}
    assert "bridge.filter" in ops(host.converge(internal))


@isolated
def test_the_rules_of_others_stay() -> None:
    from nftables import Nftables

    nft = Nftables()
    assert nft.cmd("add table inet firewalld; add chain inet firewalld c; add table inet cell-other")[0] == 0
    before = nft.cmd("list ruleset")[1]
    host = NetworkHost()
    host.converge(DOCUMENT)
    host.converge(document("Bridge/keep"), prune=True)
    assert nft.cmd("list ruleset")[1] == before


@isolated
@pytest.mark.parametrize("tampering", ["flush chain inet {0} input", "add rule inet {0} forward accept", "dormant"])
def test_a_change_of_our_rules_is_noticed(tampering: str) -> None:
    from nftables import Nftables

    host = NetworkHost()
    host.converge(DOCUMENT)
    table = "cell-reconciler/cloud0"
    command = "add table inet {0} {{ flags dormant; }}" if tampering == "dormant" else tampering
    assert Nftables().cmd(command.format(table))[0] == 0
    assert condition(host, DOCUMENT).reason == "FilterMissing"
    assert ops(host.converge(DOCUMENT)) == ["bridge.filter"]


@isolated
def test_a_kernel_without_bridge_meta_says_what_is_missing() -> None:
    """And one with it says that all is well: which of the two runs here is asked of the kernel by a rule."""
    from nftables import Nftables

    nft = Nftables()
    assert nft.cmd("add table bridge probe; add chain bridge probe c")[0] == 0
    able = nft.cmd("add rule bridge probe c meta ibrname x drop")[0] == 0
    stage = Stage()
    said = condition(stage.host, DOCUMENT)
    assert (said.reason, said.status == "True") == (("Filtered", True) if able else ("FilterReduced", False))
    notes = next(c.notes for c in stage.host.plan(DOCUMENT).changes)
    assert notes == (() if able else (isolation.REDUCED,))
    assert passing(stage.between) == (set() if able else set(stage.between))


@isolated
def test_a_reserved_bridge_is_left_alone_and_watched() -> None:
    doc = document("Bridge/cloud0", {"mode": "reserved"})
    host = NetworkHost()
    assert host.plan(doc).empty, "its agent has not made it yet"
    ip("link add cloud0 type bridge")
    ip("addr add 169.254.0.1/16 dev cloud0")
    ip("link set cloud0 up")
    ip("tuntap add vnet0 mode tap")
    ip("link set vnet0 master cloud0")
    assert host.plan(doc).empty
    assert condition(host, doc).reason == "Reserved"
    before = host.link("cloud0")
    ip("link add vx0 type vxlan id 5 dstport 4789 dev lo")
    ip("link set vx0 master cloud0")
    plan: Plan = host.apply(doc)
    assert any("Violated: vx0 leads out of cloud0" in text for text in refusals(plan))
    assert condition(host, doc).reason == "Violated"
    ip("link del vx0")
    assert host.plan(doc).empty
    assert host.link("cloud0") == before


@isolated
def test_a_bridge_that_was_ours_is_left_to_its_agent() -> None:
    host = NetworkHost()
    host.converge(DOCUMENT)
    host.converge(document("Bridge/cloud0", {"mode": "reserved"}))
    live = host.live()
    assert (live.filters, live.links["cloud0"].group, live.links["cloud0"].alias or "") == ({}, 0, "")
    assert live.links["cloud0"].addresses == ("169.254.0.1/16",), "what the agent needs stays"
    host.converge(document("Bridge/keep"), prune=True)
    assert "cloud0" in host.live().links


@isolated
def test_an_uplink_that_somebody_plugs_into_an_internal_bridge_is_reported() -> None:
    host = NetworkHost()
    host.converge(DOCUMENT)
    ip("link add vx0 type vxlan id 5 dstport 4789 dev lo")
    ip("link set vx0 master cloud0")
    plan = host.apply(DOCUMENT)
    assert any("ForeignUplink: vx0 leads out of cloud0" in text for text in refusals(plan))
    assert host.link("vx0").master == "cloud0", "it is not ours to remove"
    assert condition(host, DOCUMENT).reason == "ForeignUplink"
