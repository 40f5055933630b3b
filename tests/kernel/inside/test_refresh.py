"""Bonds, VLANs and filtering bridges after events, beside an observation of everything: they never differ."""

from __future__ import annotations

import subprocess

import pytest

from cell_reconciler.model.key import Key
from tests.listener import Listener
from tests.network import document, isolated

pytestmark = pytest.mark.kernel
BOND, ACCESS, TRUNK = Key("Bond", "bond0"), Key("Bridge", "br0"), Key("Bridge", "trunk")


def host() -> Listener:
    """An access bridge on a bond, and a bridge that does not filter yet."""
    return Listener(
        (
            document("Bond/bond0", {"members": ["eno1", "eno2"]}),
            document("Bridge/br0", {"uplink": "bond0", "vlan": 20}),
            document("Bridge/trunk", {"uplink": "eno3"}),
        ),
        *(f"link add eno{n} type dummy" for n in (1, 2, 3)),
        "link add bond0 type bond mode active-backup miimon 100",
        *(f"link set eno{n} master bond0" for n in (1, 2)),
        "link add link bond0 name bond0.20 type vlan id 20",
        "link add br0 type bridge",
        "link set bond0.20 master br0",
        "link add trunk type bridge",
        "link set eno3 master trunk",
        *(f"link set {name} up" for name in ("eno1", "eno2", "eno3", "bond0", "bond0.20", "br0", "trunk")),
    )


@isolated
def test_a_bond_and_what_is_on_it() -> None:
    at = host()
    assert BOND in at.after("link set eno2 nomaster")
    assert BOND in at.after("link set eno2 down", "link set eno2 master bond0")
    assert at.after("link set bond0 type bond miimon 200") == {BOND, ACCESS}
    assert BOND in at.after("link set bond0 type bond active_slave eno2")
    assert ACCESS in at.after("link set bond0.20 nomaster")
    assert at.after("link del bond0.20") == {ACCESS}
    assert at.bulk == 0
    at.after("link set bond0 down", "link set bond0 name bond9", "link set bond9 up")
    at.after("link set bond9 down", "link set bond9 name bond0", "link set bond0 up")
    assert {BOND, ACCESS} <= at.after("link del bond0")


@isolated
def test_the_vlans_of_ports() -> None:
    at = host()
    assert at.after("link set trunk type bridge vlan_filtering 1") >= {TRUNK}
    assert at.bulk == 1, "it begins to filter: all are read"
    subprocess.run(["bridge", "vlan", "add", "dev", "eno3", "vid", "10-20"], check=True)
    assert at.after("link set eno3 mtu 1400") == {TRUNK}
    assert [(r.first, r.last) for r in at.live.links["eno3"].vlans] == [(1, 1), (10, 20)]
    subprocess.run(["bridge", "vlan", "del", "dev", "eno3", "vid", "12"], check=True)
    assert at.after("link set eno3 mtu 1500") == {TRUNK}
    assert at.bulk == 1
    at.after("link set trunk type bridge vlan_filtering 0")
    assert at.live.links["eno3"].vlans == ()
