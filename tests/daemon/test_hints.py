"""From hints to keys, and what a rescan brought: pure values."""

from __future__ import annotations

import msgspec

from cell_reconciler.daemon import mapping
from cell_reconciler.daemon.debounce import Debounce
from cell_reconciler.daemon.news import news
from cell_reconciler.drivers.netlink.events import ROUTES, RULES
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.kinds.links.spec import PolicyRule
from cell_reconciler.kinds.nic.spec import NicSpec
from cell_reconciler.kinds.reconciler.spec import ReconcilerSpec
from cell_reconciler.kinds.vlan.spec import VlanSpec
from cell_reconciler.model.diagnostic import Diagnostic, Position
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Link, Live, Route

BOND, BRIDGE, ACCESS = Key("Bond", "bond-VM"), Key("Bridge", "br-VM"), Key("Bridge", "br-VM.101")
VM = Key("VirtualMachine", "web-01")


def document(key: Key, spec: object = None) -> Document:
    return Document(key=key, spec=spec, given={}, position=Position("a.yaml", 1))


DOCUMENTS = {
    BOND: document(BOND, BondSpec(members=("eth1", "eth2"))),
    BRIDGE: document(BRIDGE, BridgeSpec(uplink="bond-VM")),
    ACCESS: document(ACCESS, BridgeSpec(uplink="bond-VM", vlan=101)),
    VM: document(VM),
}


def link(name: str, master: str | None = None, kind: str | None = None) -> Link:
    return Link(
        name=name,
        index=1,
        kind=kind,
        mac="",
        permanent_mac=None,
        mtu=1500,
        up=True,
        carrier=True,
        master=master,
        parent=None,
        group=0,
        alias=None,
    )


def test_a_link_concerns_its_owner_and_its_users() -> None:
    users = mapping.links(DOCUMENTS)
    live = Live(host="h")
    assert mapping.of_link("bond-VM", users, DOCUMENTS, live) == {BOND, BRIDGE, ACCESS}
    assert mapping.of_link("eth2", users, DOCUMENTS, live) == {BOND}
    assert mapping.of_link("bond-VM.101", users, DOCUMENTS, live) == {ACCESS}
    assert mapping.of_link("br-VM", users, DOCUMENTS, live) == {BRIDGE}
    assert mapping.of_link("docker0", users, DOCUMENTS, live) == set()


def test_a_link_concerns_the_vlans_on_it_and_a_nic_its_document() -> None:
    nic, vlan, outer = Key("Nic", "eth1"), Key("Vlan", "v7"), Key("Vlan", "outer")
    documents = {
        **DOCUMENTS,
        nic: document(nic, NicSpec()),
        vlan: document(vlan, VlanSpec(parent="outer", id=7)),
        outer: document(outer, VlanSpec(parent="bond-VM", id=20)),
    }
    users = mapping.links(documents)
    live = Live(host="h", links={"v7": link("v7", "br-VM", "vlan")})
    assert mapping.of_link("eth1", users, documents, live) == {BOND, nic}
    assert mapping.of_link("outer", users, documents, live) == {outer, vlan}
    assert mapping.of_link("v7", users, documents, live) == {vlan, BRIDGE}
    assert mapping.of_link("bond-VM", users, documents, live) == {BOND, BRIDGE, ACCESS, outer}


def test_a_policy_rule_concerns_whoever_declares_rules() -> None:
    nic, rule = Key("Nic", "eth9"), PolicyRule(table=100, priority=1000)
    documents = {**DOCUMENTS, nic: document(nic, NicSpec(rules=(rule,)))}
    assert mapping.of_link(RULES, mapping.links(documents), documents, Live(host="h")) == {nic}
    assert mapping.of_link(RULES, mapping.links(DOCUMENTS), DOCUMENTS, Live(host="h")) == set()


def test_a_tap_that_lost_its_bridge_concerns_the_bridge_and_the_vm() -> None:
    active = "<domain><devices><interface><target dev='vnet7'/></interface></devices></domain>"
    domain = Domain(uuid="u", name="web-01", state="running", inactive=None, active=active)
    live = Live(host="h", domains={"web-01": domain}, links={"vnet7": link("vnet7", "br-VM.101", "tun")})
    found = mapping.of_link("vnet7", mapping.links(DOCUMENTS), DOCUMENTS, live)
    assert found == {ACCESS, VM}
    assert mapping.of_link("vnet77", mapping.links(DOCUMENTS), DOCUMENTS, live) == set()


def test_what_is_heard_matters_when_somebody_may_be_concerned() -> None:
    users = mapping.links(DOCUMENTS)
    live = Live(
        host="h",
        links={
            x.name: x
            for x in (link("br-VM"), link("docker0"), link("vnet7", None, "tun"), link("veth1", "docker0", "veth"))
        },
    )
    assert mapping.matters("br-VM", users, live)
    assert mapping.matters("vnet7", users, live)
    assert mapping.matters("new0", users, live), "it may be a link of ours with a new name"
    assert mapping.matters(ROUTES, users, live)
    assert not mapping.matters("docker0", users, live)
    assert not mapping.matters("veth1", users, live)


def test_the_difference_of_two_observations_concerns_old_and_new_masters() -> None:
    old = Live(host="h", links={x.name: x for x in (link("eno9", "br-VM"), link("br-VM"), link("docker0"))})
    new = Live(host="h", links={**old.links, "eno9": link("eno9", "br-VM.101")})
    users = mapping.links(DOCUMENTS)
    assert mapping.concerned(old, new, users, DOCUMENTS) == {BRIDGE, ACCESS}
    assert mapping.concerned(old, msgspec.structs.replace(old, links=dict(old.links)), users, DOCUMENTS) == set()
    gone = msgspec.structs.replace(old, links={"docker0": old.links["docker0"]})
    assert mapping.concerned(old, gone, users, DOCUMENTS) == {BRIDGE}
    routed = msgspec.structs.replace(old, routes=(Route(to="10.0.0.0/8", link="br-VM"),))
    assert mapping.concerned(old, routed, users, DOCUMENTS) == {BRIDGE}


def test_a_domain_that_is_not_declared_concerns_nobody() -> None:
    assert mapping.of_domain("web-01", DOCUMENTS) == {VM}
    assert mapping.of_domain("foreign", DOCUMENTS) == set()


def loaded(
    *documents: Document, diagnostics: tuple[Diagnostic, ...] = (), stale: frozenset[Key] = frozenset()
) -> Loaded:
    return Loaded(documents={d.key: d for d in documents}, diagnostics=diagnostics, stale=stale)


BAD = Diagnostic(position=Position("b.yaml", 3, 5), rule="syntax", message="bad")


def test_news_of_the_first_load_is_everything() -> None:
    found = news(None, loaded(DOCUMENTS[VM]))
    assert found.touched == {VM}
    assert found.told


def test_news_names_what_changed_and_what_went() -> None:
    changed = document(BRIDGE, BridgeSpec(uplink="bond-VM", stp=True))
    found = news(loaded(DOCUMENTS[VM], DOCUMENTS[BRIDGE], DOCUMENTS[BOND]), loaded(DOCUMENTS[VM], changed))
    assert found.touched == {BRIDGE}
    assert found.gone == {BOND}
    assert not found.told


def test_a_moved_document_is_no_news() -> None:
    moved = msgspec.structs.replace(DOCUMENTS[BRIDGE], position=Position("elsewhere.yaml", 9))
    found = news(loaded(DOCUMENTS[BRIDGE]), loaded(moved))
    assert not found.touched


def test_a_file_that_became_invalid_touches_what_it_declared_and_nothing_else() -> None:
    found = news(
        loaded(DOCUMENTS[VM], DOCUMENTS[BRIDGE]),
        loaded(DOCUMENTS[VM], DOCUMENTS[BRIDGE], diagnostics=(BAD,), stale=frozenset({VM})),
    )
    assert found.touched == {VM}
    assert found.problems == (BAD,)
    assert found.told
    back = news(loaded(DOCUMENTS[VM], diagnostics=(BAD,), stale=frozenset({VM})), loaded(DOCUMENTS[VM]))
    assert back.touched == {VM}
    assert back.solved


def test_settings() -> None:
    key = Key("Reconciler", "default")
    assert news(loaded(), loaded(document(key, ReconcilerSpec()))).settings
    assert not news(loaded(), loaded(DOCUMENTS[VM])).settings


def test_debounce_waits_for_quiet_but_not_for_ever() -> None:
    debounce = Debounce(quiet=0.05, longest=0.5)
    assert debounce.due is None
    for hundredth in range(0, 60, 4):
        debounce.hit(hundredth / 100)
    assert debounce.due == 0.5
    assert not debounce.take(0.49)
    assert debounce.take(0.5)
    assert not debounce.take(0.6)
    debounce.hit(1.0)
    assert debounce.due == 1.05
