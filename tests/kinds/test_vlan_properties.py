"""Whatever VLANs and NICs there are and whatever is wanted: planning ends, and touches nothing that is not ours."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import GROUP
from tests.livelinks import bond, bridge, link, live, ours, own_vlan, vlan
from tests.network import document, plan_of, problems

PARENTS = ("eno1", "bond0", "v1", "br0")
VLANS = ("v1", "v2", "v3")


@st.composite
def hosts(draw: st.DrawFn) -> Live:
    """A NIC, a bond, a bridge, and VLANs on them: ours, somebody else's, and some in our group alone."""
    links: list[Link] = [bond("bond0", foreign=draw(st.booleans())), bridge("br0", foreign=draw(st.booleans()))]
    mark = draw(st.sampled_from([{}, ours("Nic", "eno1", adopted=True), {"group": GROUP}]))
    address = draw(st.sampled_from([(), ("10.0.0.1/24",)]))
    owned = address if draw(st.booleans()) else ()
    links.append(link("eno1", up=draw(st.booleans()), addresses=address, owned_addresses=owned, **mark))
    tags = draw(st.lists(st.tuples(st.sampled_from(PARENTS), st.integers(1, 3)), unique=True, max_size=3))
    for name, (parent, number) in zip(VLANS, tags, strict=False):
        if parent != name:
            loop = parent not in ("eno1", "bond0")  # the kernel makes no link a port of what is below it
            more: dict[str, Any] = {"master": None if loop else draw(st.sampled_from([None, "br0"]))}
            more["mtu"] = draw(st.sampled_from([1400, 1500]))
            kind = draw(st.sampled_from(["ours", "theirs", "group"]))
            if kind == "ours":
                links.append(own_vlan(name, parent, number, **more))
            else:
                links.append(vlan(parent, number, of=None, name=name, group=GROUP if kind == "group" else 0, **more))
    there = {x.name for x in links}
    return live(*(x for x in links if x.parent is None or x.parent in there))


@st.composite
def specs(draw: st.DrawFn) -> list[Document]:
    """Documents that are valid together."""
    documents: list[Document] = [document("Bridge/keep")]
    if draw(st.booleans()):
        spec = {"mtu": draw(st.sampled_from([1400, 9000])), "adminState": draw(st.sampled_from(["up", "down"]))}
        documents.append(document("Nic/eno1", spec))
    if draw(st.booleans()):
        documents.append(document("Bond/bond0", {"mtu": 9000}))
    if draw(st.booleans()):
        documents.append(document("Bridge/br0", {"uplink": draw(st.sampled_from(["bond0", *VLANS]))}))
    for name in VLANS:
        if draw(st.booleans()):
            spec = {"parent": draw(st.sampled_from(PARENTS)), "id": draw(st.integers(1, 3))}
            if draw(st.booleans()):
                spec["mtu"] = draw(st.sampled_from([1400, 9000]))
            documents.append(document(f"Vlan/{name}", spec, adopt=draw(st.booleans())))
    while bad := [d for d in documents if problems(d, *(o for o in documents if o is not d))]:
        documents.remove(bad[0])
    return documents


@given(hosts(), specs(), st.booleans())
def test_plans_end_and_touch_only_what_is_ours(have: Live, documents: list[Document], prune: bool) -> None:
    plan = plan_of(documents, have, prune=prune)
    assert all(before < number for number, edges in enumerate(plan.edges) for before in edges)
    named = {d.key.name for d in documents if d.adopts or d.key.kind == "Nic"}
    below = {d.spec.parent for d in documents if d.key.kind == "Vlan"}
    uplinks = {d.spec.uplink for d in documents if d.key.kind == "Bridge"}
    for step in plan.steps:
        target = have.links.get(step.action.name)
        if target is None or target.group == GROUP or target.name in named | uplinks:
            continue
        assert step.op == "vlan.parent-up", step.text
        assert target.name in below


@given(hosts(), specs())
def test_what_has_no_mark_is_never_deleted_or_replaced(have: Live, documents: list[Document]) -> None:
    for step in plan_of(documents, have, prune=True).steps:
        if step.deletes or step.op == "vlan.replace":
            alias = have.links[step.action.name].alias
            adopts = {d.key.name for d in documents if d.adopts}
            cut_short = alias is None and have.links[step.action.name].group == GROUP
            assert alias or step.action.name in adopts or cut_short, step.text
