"""Internal and reserved bridges: what may be declared, what is planned, what is said. Values in, values out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.bridge.filters import filters
from cell_reconciler.kinds.bridge.isolation import REDUCED
from cell_reconciler.kinds.world import build
from cell_reconciler.model.change import Cause, Risk
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document, mark_of, spec_digest
from cell_reconciler.model.live import Gap, Link, Live, Source
from cell_reconciler.model.mark import GROUP
from tests.livelinks import bond, bridge, link, live, tap, vlan
from tests.network import document, ops, plan_of, problems, refusals

INTERNAL = document("Bridge/cloud0", {"mode": "internal", "addresses": ["169.254.0.1/16"]})
RESERVED = document("Bridge/cloud0", {"mode": "reserved"})
KEEP = document("Bridge/keep")
WHOLE, PART = (one.digest() for one in filters("cloud0"))


def filtered(*links: Link, digest: str | None = WHOLE, name: str = "cloud0") -> Live:
    """A host on which our filter of this bridge is as ``digest`` says."""
    return msgspec.structs.replace(live(*links), filters={name: digest} if digest else {})


def cloud0(doc: Document = INTERNAL, **more: Any) -> Link:
    """The live bridge that the document made."""
    mark = mark_of(doc, spec_digest(doc.spec)).to_text()
    addresses = {"addresses": tuple(doc.spec.addresses), "owned_addresses": tuple(doc.spec.addresses)}
    return bridge("cloud0", **{"group": GROUP, "alias": mark, **addresses, **more})


def isolated(doc: Document, have: Live) -> Condition | None:
    world = build("cell-01", {doc.key: doc}, have)
    of = kind("Bridge")
    found = of.conditions(doc, of.observe(doc.key.name, world), world)
    return next((c for c in found if c.type == "Isolated"), None)


@pytest.mark.parametrize(
    ("name", "spec", "rules"),
    [
        ("cloud0", {}, {"cloud0-mode"}),
        ("cloud0", {"mode": "normal", "uplink": "eno1"}, {"cloud0-mode"}),
        ("cloud0", {"mode": "internal"}, set()),
        ("cloud0", {"mode": "reserved"}, set()),
        ("br-x", {"mode": "internal", "addresses": ["169.254.0.1/16", "fe80::5/64"], "mtu": 9000}, set()),
        ("br-x", {"mode": "internal", "uplink": "eno1"}, {"internal-way-out"}),
        ("br-x", {"mode": "internal", "uplink": "eno1", "vlan": 5}, {"internal-way-out"}),
        ("br-x", {"mode": "internal", "stp": True}, {"internal-stp"}),
        ("br-x", {"mode": "internal", "addresses": ["10.0.0.1/24"]}, {"internal-address"}),
        ("br-x", {"mode": "internal", "addresses": ["fd00::1/64"]}, {"internal-address"}),
        ("br-x", {"mode": "reserved", "addresses": ["169.254.0.1/16"]}, {"reserved-field"}),
        ("br-x", {"mode": "reserved", "mtu": 1500}, {"reserved-field"}),
        ("br-x", {"mode": "reserved", "uplink": "eno1"}, {"reserved-field"}),
        ("br-x", {"mode": "reserved", "hosts": ["cell-01"]}, set()),
    ],
)
def test_what_a_document_may_say(name: str, spec: dict[str, Any], rules: set[str]) -> None:
    assert problems(document(f"Bridge/{name}", spec)) == rules


def test_an_internal_bridge_has_no_routes() -> None:
    spec = {
        "mode": "internal",
        "addresses": ["169.254.0.1/16"],
        "routes": [{"to": "10.9.0.0/16", "via": "169.254.0.2"}],
    }
    assert "internal-way-out" in problems(document("Bridge/br-x", spec))


@pytest.mark.parametrize("owner", [INTERNAL, RESERVED])
def test_link_local_is_of_one_link(owner: Document) -> None:
    other = document("Bridge/br-y", {"addresses": ["169.254.3.1/16", "fe80::7/64", "10.0.0.1/24"]})
    assert problems(other, owner) == {"link-local-taken"}
    assert problems(other, KEEP) == set()
    assert "link-local-taken" not in problems(owner, other)
    assert problems(document("Bridge/br-z", {"mode": "internal", "addresses": ["169.254.9.1/16"]}), owner) == {
        "link-local-taken"
    }


def test_nothing_stands_on_an_isolated_bridge() -> None:
    assert "isolated-uplink" in problems(document("Bridge/br-y", {"uplink": "cloud0", "vlan": 5}), INTERNAL)
    assert "isolated-uplink" not in problems(document("Bridge/br-y", {"uplink": "keep", "vlan": 5}), KEEP)


def test_the_filter_is_there_before_the_bridge() -> None:
    plan = plan_of([INTERNAL], live())
    names = ops(plan)
    assert names[0] == "bridge.filter"
    assert names.index("bridge.filter") < names.index("bridge.create") < names.index("bridge.address.add")


@pytest.mark.parametrize("digest", [WHOLE, PART])
def test_in_sync_is_quiet(digest: str) -> None:
    have = filtered(cloud0(), tap("vnet0", "cloud0"), link("veth0", "veth", master="cloud0"), digest=digest)
    plan = plan_of([INTERNAL], have)
    assert plan.empty
    assert plan.changes[0].notes == ((REDUCED,) if digest == PART else ())


@pytest.mark.parametrize("digest", [None, "0000000000000000"])
def test_a_flushed_or_changed_filter_is_drift_that_needs_no_permission(digest: str | None) -> None:
    have = filtered(cloud0(), tap("vnet0", "cloud0"), digest=digest)
    plan = plan_of([INTERNAL], have, allow=Risk.NONE)
    assert ops(plan) == ["bridge.filter"]
    assert plan.changes[0].cause == Cause.DRIFT
    assert [(f.path, f.have, f.want) for f in plan.changes[0].fields] == [("spec.mode", "normal", "internal")]


def test_isolating_a_bridge_that_vms_use_needs_permission() -> None:
    doc = document("Bridge/br-x", {"mode": "internal"})
    plan = plan_of([doc], live(bridge("br-x"), tap("vnet0", "br-x")))
    step = next(step for step in plan.steps if step.op == "bridge.filter")
    assert (step.risk, "vnet0" in step.why) == (Risk.CUTS_VM, True)


def test_a_bridge_that_becomes_internal_is_isolated_before_it_loses_its_uplink() -> None:
    doc = document("Bridge/br0", {"mode": "internal"})
    plan = plan_of([doc], live(bridge("br0"), link("eno1", master="br0", group=GROUP)))
    names = ops(plan)
    assert names.index("bridge.filter") < names.index("bridge.detach")


def test_a_normal_bridge_loses_the_filter_last() -> None:
    doc = document("Bridge/br0", {"addresses": ["10.0.0.1/24"]})
    names = ops(plan_of([doc], filtered(bridge("br0"), name="br0")))
    assert [n for n in names if n != "bridge.mark"][-1] == "bridge.filter.delete"


@pytest.mark.parametrize(
    ("port", "names"),
    [
        (link("eno3", master="cloud0"), "eno3"),
        (bond("bond7", foreign=True, master="cloud0"), "bond7"),
        (vlan("eno1", 5, of=None, master="cloud0"), "eno1.5"),
        (vlan("cloud0", 5, of=None), "cloud0.5"),
        (link("vx0", "vxlan", master="cloud0"), "vx0"),
    ],
)
def test_a_way_out_is_refused_and_left(port: Link, names: str) -> None:
    have = filtered(cloud0(), port)
    plan = plan_of([INTERNAL], have)
    assert [f"ForeignUplink: {names} leads out of cloud0" in text for text in refusals(plan)] == [True]
    assert not plan.steps
    found = isolated(INTERNAL, have)
    assert found is not None
    assert (found.status, found.reason) == ("False", "ForeignUplink")
    reserved = filtered(cloud0(RESERVED, group=0, alias=None), port, digest=None)
    assert any(f"Violated: {names}" in text for text in refusals(plan_of([RESERVED], reserved)))
    found = isolated(RESERVED, reserved)
    assert found is not None
    assert (found.status, found.reason) == ("False", "Violated")


def test_how_well_it_is_isolated() -> None:
    reasons = {}
    for digest in (WHOLE, PART, None, "x"):
        found = isolated(INTERNAL, filtered(cloud0(), digest=digest))
        assert found is not None
        reasons[digest] = (str(found.status), found.reason)
    assert reasons == {
        WHOLE: ("True", "Filtered"),
        PART: ("False", "FilterReduced"),
        None: ("False", "FilterMissing"),
        "x": ("False", "FilterMissing"),
    }
    assert isolated(document("Bridge/br0"), live(bridge("br0"))) is None


def test_what_could_not_be_read_is_unknown_for_internal_bridges_alone() -> None:
    gap = Gap(Source.NFTABLES, "python3-nftables is not installed")
    have = msgspec.structs.replace(live(cloud0(), bridge("keep")), gaps=(gap,), filters=None)
    plan = plan_of([INTERNAL, KEEP], have)
    assert set(plan.unknown) == {INTERNAL.key}
    assert "python3-nftables is not installed" in plan.unknown[INTERNAL.key]
    assert not plan.steps
    found = isolated(INTERNAL, have)
    assert found is not None
    assert (found.status, found.reason) == ("Unknown", "FilterUnknown")


def test_a_reserved_bridge_is_never_touched() -> None:
    agents = bridge("cloud0", foreign=True, addresses=("169.254.0.1/16",), up=False, mtu=1400)
    for have in (live(), live(agents), live(agents, tap("vnet0", "cloud0"))):
        assert plan_of([RESERVED], have).empty
    assert "cloud0 is no bridge" in refusals(plan_of([RESERVED], live(link("cloud0", "dummy"))))[0]


def test_a_reserved_bridge_with_an_address_of_ours_is_violated() -> None:
    have = live(bridge("cloud0", foreign=True, addresses=("10.0.0.5/24",), owned_addresses=("10.0.0.5/24",)))
    assert any("Violated: cloud0 has 10.0.0.5/24" in text for text in refusals(plan_of([RESERVED], have)))


def test_a_bridge_of_ours_is_handed_over() -> None:
    plan = plan_of([RESERVED], filtered(cloud0()))
    assert ops(plan) == ["bridge.filter.delete", "bridge.give-up"]
    assert plan.steps[-1].action.alias == ""


def test_prune_removes_the_filter_after_the_bridge_and_alone_when_the_bridge_is_gone() -> None:
    names = ops(plan_of([KEEP], filtered(cloud0(), bridge("keep")), prune=True))
    assert names == ["bridge.delete", "bridge.filter.delete"]
    assert ops(plan_of([KEEP], filtered(bridge("keep")), prune=True)) == ["bridge.filter.delete"]
    assert ops(plan_of([KEEP], filtered(bridge("keep")))) == []


def test_an_adopted_bridge_stays_without_our_filter() -> None:
    doc = document("Bridge/cloud0", {"mode": "internal"}, adopt=True)
    adopted = mark_of(doc, spec_digest(doc.spec), adopted=True).to_text()
    have = filtered(bridge("cloud0", group=GROUP, alias=adopted), bridge("keep"))
    assert ops(plan_of([KEEP], have, prune=True)) == ["bridge.filter.delete", "bridge.give-up"]
