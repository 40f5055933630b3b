"""Bonds on a kernel that has bonding and 8021q, each test in a network namespace of its own."""

from __future__ import annotations

import pytest

from cell_reconciler.model.document import Document
from cell_reconciler.model.mark import GROUP, Mark
from tests.network import NetworkHost, document, ip, isolated, ops, refusals

pytestmark = pytest.mark.kernel
MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")


def nics(*names: str) -> dict[str, str]:
    """Dummy NICs and their addresses."""
    for name in names:
        ip(f"link add {name} type dummy")
    links = NetworkHost().live().links
    return {name: links[name].mac for name in names}


@pytest.mark.parametrize("mode", MODES)
@isolated
def test_each_of_the_seven_modes(mode: str) -> None:
    macs = nics("eno1", "eno2")
    host = NetworkHost()
    host.converge(document("Bond/bond0", {"members": ["eno2", "eno1"], "mode": mode, "mtu": 9000}))
    bond = host.link("bond0")
    assert (bond.data["bond_mode"], bond.data["bond_miimon"], bond.up, bond.mtu) == (mode, 100, True, 9000)
    assert bond.mac == macs["eno1"], "the first by name, not the first written"
    assert (host.link("eno1").master, host.link("eno2").master) == ("bond0", "bond0")
    assert bond.group == GROUP
    mark = Mark.parse(bond.alias)
    assert mark is not None
    assert str(mark.owner) == "Bond/bond0"


@isolated
def test_mode_changes_keep_what_stands_on_the_bond() -> None:
    nics("eno1", "eno2")
    host = NetworkHost()

    def documents(mode: str) -> list[Document]:
        return [
            document("Bond/bond0", {"members": ["eno1", "eno2"], "mode": mode}),
            document("Bridge/br0", {"uplink": "bond0", "addresses": ["10.0.0.1/24"]}),
            document("Bridge/br0.101", {"uplink": "bond0", "vlan": 101}),
        ]

    host.converge(*documents("balance-rr"))
    before = {name: (link.index, link.mac, link.master, link.up) for name, link in host.live().links.items()}
    for mode in (*MODES[1:], MODES[0]):
        plan = host.converge(*documents(mode))
        assert ops(plan)[0] == "bond.rebuild"
        assert "bond.enslave" not in ops(plan)
        after = {name: (link.index, link.mac, link.master, link.up) for name, link in host.live().links.items()}
        # The modes differ in whether members keep addresses of their own.
        assert {n: v for n, v in after.items() if n not in ("eno1", "eno2")} == {
            n: v for n, v in before.items() if n not in ("eno1", "eno2")
        }
        assert (host.link("eno1").master, host.link("eno2").master) == ("bond0", "bond0")


@isolated
def test_a_mode_change_that_was_cut_short_is_finished() -> None:
    nics("eno1", "eno2")
    host = NetworkHost()
    host.converge(document("Bond/bond0", {"members": ["eno1", "eno2"]}))
    ip("link set bond0 down")
    ip("link set eno1 nomaster")
    ip("link set eno2 nomaster")
    host.converge(document("Bond/bond0", {"members": ["eno1", "eno2"], "mode": "802.3ad"}))
    assert host.link("bond0").up


@isolated
def test_members_come_and_go() -> None:
    macs = nics("eno1", "eno2", "eno3")
    host = NetworkHost()
    host.converge(document("Bond/bond0", {"members": ["eno1", "eno2"]}))
    mac, index = host.link("bond0").mac, host.link("bond0").index
    host.converge(document("Bond/bond0", {"members": ["eno2", "eno3"]}))
    bond, gone = host.link("bond0"), host.link("eno1")
    assert (bond.mac, bond.index) == (mac, index), "the address is pinned"
    assert (gone.master, gone.up, gone.mac) == (None, True, macs["eno1"]), "released, up, with its own address"
    host.converge(document("Bond/bond0", {"members": []}))
    assert host.link("eno2").up
    host.converge(document("Bond/bond0", {"members": ["eno3"]}))


@isolated
def test_live_options() -> None:
    nics("eno1", "eno2")
    host = NetworkHost()
    spec = {"members": ["eno1", "eno2"]}
    host.converge(document("Bond/bond0", spec))
    host.converge(document("Bond/bond0", {**spec, "primary": "eno2"}))
    assert host.link("bond0").data["bond_active_slave"] == "eno2"
    host.converge(document("Bond/bond0", {**spec, "primary": "eno1", "miimon": 250, "mac": "52:54:00:00:00:42"}))
    bond = host.link("bond0")
    assert (bond.data["bond_primary"], bond.data["bond_miimon"]) == ("eno1", 250)
    assert bond.mac == "52:54:00:00:00:42"
    host.converge(document("Bond/bond0", {**spec, "mode": "balance-rr"}))
    host.converge(document("Bond/bond0", spec))
    assert "bond_primary" not in host.link("bond0").data, "an old preference does not come back with the mode"


@isolated
def test_drift_is_repaired() -> None:
    nics("eno1", "eno2")
    host = NetworkHost()
    doc = document("Bond/bond0", {"members": ["eno1", "eno2"], "mtu": 9000})
    host.converge(doc)
    ip("link set eno1 nomaster")
    ip("link set eno2 down")
    ip("link set eno2 mtu 1300")
    ip("link set bond0 down")
    host.converge(doc)
    assert host.link("eno1").master == "bond0"
    assert (host.link("eno2").mtu, host.link("eno2").up, host.link("bond0").up) == (9000, True, True)


@isolated
def test_a_creation_cut_short_before_its_alias_is_ours() -> None:
    nics("eno1")
    host = NetworkHost()
    host.doors.netlink.create_link("bond0", "bond", data={"bond_mode": "active-backup"})
    assert host.link("bond0").alias is None
    host.converge(document("Bond/bond0", {"members": ["eno1"]}))
    assert host.link("bond0").alias.startswith("cell/v1;Bond/bond0;")


@isolated
def test_a_foreign_bond_is_left_alone_until_it_is_adopted() -> None:
    nics("eno1", "eno2")
    ip("link add bond0 type bond mode 802.3ad miimon 77")
    ip("link set eno1 master bond0")
    before = ip("-d link show bond0")
    host = NetworkHost()
    plan = host.apply(document("Bond/bond0", {"members": ["eno2"]}))
    assert refusals(plan)
    assert (ip("-d link show bond0"), host.doors.writes.total) == (before, 0)
    host.converge(document("Bond/bond0", {"members": ["eno1", "eno2"]}, adopt=True))
    bond = host.link("bond0")
    assert (bond.data["bond_mode"], bond.data["bond_miimon"]) == ("802.3ad", 77), "not named, so left as they were"
    assert bond.alias.endswith(";adopted")
    host.converge(document("Bridge/other"), prune=True)
    assert (host.link("bond0").group, host.link("bond0").alias) == (0, None), "given up, and still there"


@isolated
def test_prune_refuses_while_a_foreign_vlan_stands_on_the_bond() -> None:
    nics("eno1")
    host = NetworkHost()
    host.converge(document("Bond/bond0", {"members": ["eno1"]}))
    ip("link add link bond0 name bond0.7 type vlan id 7")
    plan = host.apply(document("Bridge/other"), prune=True)
    assert any("ForeignDependents" in text for text in refusals(plan))
    assert {"bond0", "bond0.7"} <= set(host.live().links)
