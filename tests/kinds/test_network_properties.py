"""Whatever is there and whatever is wanted: planning ends, and touches nothing that is not ours."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import GROUP
from tests.livelinks import bond, bridge, link, live, tap, vlan
from tests.network import document, plan_of, problems

NICS = ("eno1", "eno2", "eno3")
BONDS = ("bond0", "bond1")
BRIDGES = ("br0", "br1")


@st.composite
def hosts(draw: st.DrawFn) -> Live:
    """A host with NICs, some bonds and bridges of ours and of others, VLANs, taps."""
    links: list[Link] = []
    masters: list[str] = []
    for name in BONDS:
        if draw(st.booleans()):
            links.append(bond(name, foreign=draw(st.booleans()), master=draw(st.sampled_from([None, *BRIDGES]))))
            masters.append(name)
            if draw(st.booleans()):
                of = draw(st.sampled_from([None, *BRIDGES]))
                links.append(vlan(name, 5, of=of, master=draw(st.sampled_from([None, *BRIDGES]))))
    for name in BRIDGES:
        if draw(st.booleans()):
            addresses = draw(st.sampled_from([(), ("10.0.0.1/24",), ("10.0.0.9/24",)]))
            owned = addresses if draw(st.booleans()) else ()
            links.append(bridge(name, foreign=draw(st.booleans()), addresses=addresses, owned_addresses=owned))
            masters.append(name)
            if draw(st.booleans()):
                links.append(tap(f"vnet-{name}", name))
    for name in NICS:
        if draw(st.booleans()):
            master = draw(st.sampled_from([None, *masters]))
            group = GROUP if master in BRIDGES and draw(st.booleans()) else 0
            links.append(link(name, master=master, group=group, up=draw(st.booleans())))
    there = {x.name for x in links}
    return live(*(x if x.master in there else link_without_master(x) for x in links))


def link_without_master(x: Link) -> Link:
    return Link(**{name: getattr(x, name) for name in x.__struct_fields__} | {"master": None})


@st.composite
def specs(draw: st.DrawFn) -> list[Document]:
    """Documents that are valid together."""
    documents: list[Document] = []
    for name in BONDS:
        if draw(st.booleans()):
            members = draw(st.lists(st.sampled_from(NICS), unique=True))
            spec: dict[str, Any] = {"members": members, "mode": draw(st.sampled_from(["802.3ad", "active-backup"]))}
            documents.append(document(f"Bond/{name}", spec, adopt=draw(st.booleans())))
    for name in BRIDGES:
        if draw(st.booleans()):
            spec = {"addresses": draw(st.sampled_from([[], ["10.0.0.1/24"]])), "stp": draw(st.booleans())}
            uplink = draw(st.sampled_from([None, *NICS, *BONDS]))
            if uplink:
                spec["uplink"] = uplink
                if draw(st.booleans()):
                    spec["vlan"] = draw(st.sampled_from([5, 6]))
            documents.append(document(f"Bridge/{name}", spec, adopt=draw(st.booleans())))
    return [d for d in documents if not problems(d, *(o for o in documents if o is not d))]


@given(hosts(), specs(), st.booleans())
def test_plans_end_and_touch_only_what_is_ours(have: Live, documents: list[Document], prune: bool) -> None:
    plan = plan_of(documents, have, prune=prune)
    position = {id(step): number for number, step in enumerate(plan.steps)}
    assert all(before < number for number, edges in enumerate(plan.edges) for before in edges)
    assert len(position) == len(plan.steps)
    declared = {name for d in documents for name in (*getattr(d.spec, "members", ()), getattr(d.spec, "uplink", None))}
    adopts = {d.key.name for d in documents if d.adopts}
    adopted_devices = {f"{d.spec.uplink}.{d.spec.vlan}" for d in documents if d.adopts and d.key.kind == "Bridge"}
    for step in plan.steps:
        target = have.links.get(step.action.name)
        if target is None or target.group == GROUP:
            continue
        if step.op.endswith(".address.move"):
            assert set(target.owned_addresses) & {getattr(step.action, "cidr", None)}
            continue
        # What is not ours: a NIC that a document names, a member that a bond of ours lets go, or what is adopted.
        master = have.links.get(target.master or "")
        is_member = master is not None and master.kind == "bond" and (master.group == GROUP or master.name in adopts)
        adopted_vlan = target.kind == "vlan" and (target.master in adopts or target.name in adopted_devices)
        assert target.name in declared | adopts or is_member or adopted_vlan, step.text
        assert target.kind != "tun", step.text


@given(hosts())
def test_an_empty_set_of_documents_changes_nothing(have: Live) -> None:
    assert not plan_of([], have, prune=True).steps
