"""Scenarios 12, 16 and 17: NIC, bond, VLAN and bridge as one stack that is made, changed and resized as a whole."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cell_reconciler.load import Specs
from cell_reconciler.model.change import Risk, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from tests.kernel.inside.watchers import no_loss, switch
from tests.network import HOST, ExecutedHost, document, ip, isolated, plan_of, refusals

pytestmark = pytest.mark.kernel

STACK = """\
apiVersion: cell/v1
kind: Bond
metadata: {name: bond0}
spec: {members: [eno1, eno2], mtu: 9000}
---
apiVersion: cell/v1
kind: Vlan
metadata: {name: storage}
spec: {parent: bond0, id: 20, mtu: 9000}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: a-storage}
spec:
  uplink: storage
  mtu: 9000
  addresses: [10.20.0.1/24, fd20::1/64]
  routes: [{to: 10.30.0.0/16, via: 10.20.0.50}]
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-VM}
spec: {uplink: bond0}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-VM.101}
spec: {uplink: bond0, vlan: 101}
---
apiVersion: cell/v1
kind: Nic
metadata: {name: eno3}
spec: {addresses: [10.40.0.1/24]}
"""


@pytest.mark.parametrize("seed", range(4))
@isolated
def test_scenario_12_all_of_a_stack_in_one_file_in_any_order(seed: int) -> None:
    host, far = ExecutedHost(), switch("eno1", "eno2")
    ip("link add eno3 type dummy")
    far.run("link add link switch name switch.20 type vlan id 20")
    far.run("addr add 10.20.0.50/24 dev switch.20")
    far.run("link set switch.20 up")
    parts = STACK.split("---\n")
    random.Random(seed).shuffle(parts)
    loaded = Specs((), HOST, fixed={"net.yaml": "---\n".join(parts).encode()}).scan()
    assert not loaded.diagnostics
    host.converge(*loaded.documents.values())
    links = host.live().links
    masters = {name: links[name].master for name in ("eno1", "eno2", "storage", "bond0", "bond0.101")}
    assert masters == {
        "eno1": "bond0",
        "eno2": "bond0",
        "storage": "a-storage",
        "bond0": "br-VM",
        "bond0.101": "br-VM.101",
    }
    assert (links["storage"].parent, links["storage"].data["vlan_id"]) == ("bond0", 20)
    assert (links["a-storage"].addresses, links["eno3"].addresses) == (
        ("10.20.0.1/24", "fd20::1/64"),
        ("10.40.0.1/24",),
    )
    assert all(links[name].up for name in (*masters, "a-storage", "br-VM", "br-VM.101"))
    assert "10.30.0.0/16 via 10.20.0.50 dev a-storage" in ip("route")
    with no_loss(far, "10.20.0.1"):
        pass


IDENTITIES: list[dict[str, Any]] = [{"id": 30}, {"protocol": "802.1ad"}, {"parent": "eno3"}]


@pytest.mark.parametrize("other", IDENTITIES, ids=lambda spec: next(iter(spec)))
@isolated
def test_scenario_16_another_identity_is_a_replace_and_no_tap_is_cut_without_permission(other: dict[str, Any]) -> None:
    for name in ("eno1", "eno2", "eno3"):
        ip(f"link add {name} type dummy")
    host = ExecutedHost()

    def documents(**spec: Any) -> list[Document]:
        return [
            document("Bridge/br0", {"uplink": "v20", "addresses": ["10.20.0.11/24"]}),
            document("Vlan/v20", {"parent": "bond0", "id": 20, **spec}),
            document("Bond/bond0", {"members": ["eno1", "eno2"]}),
        ]

    host.converge(*documents())
    ip("tuntap add vnet0 mode tap")
    ip("link set vnet0 master br0 up")
    before = {name: (link.index, link.master) for name, link in host.live().links.items()}
    refused = plan_of(documents(**other), host.live(), allow=Risk.CUTS_MANAGEMENT)
    assert not refused.steps
    assert any("NeedsPermission: would replace v20" in text and "vnet0" in text for text in refusals(refused))
    assert {change.key: change.verb for change in refused.changes}[Key("Vlan", "v20")] == Verb.REPLACE
    plan = host.converge(*documents(**other))
    assert max(step.risk for step in plan.steps) == Risk.CUTS_VM
    after = {name: (link.index, link.master) for name, link in host.live().links.items()}
    assert {n: v for n, v in after.items() if n != "v20"} == {n: v for n, v in before.items() if n != "v20"}
    assert host.link("v20").master == "br0"
    link = host.link("v20")
    now = {"id": link.data["vlan_id"], "protocol": link.data["vlan_protocol"], "parent": link.parent}
    assert now == {"id": 20, "protocol": "802.1Q", "parent": "bond0", **other}


def layers(mtu: int) -> list[Document]:
    """The order is the worst one."""
    return [
        document("Bridge/br-A", {"uplink": "outer", "vlan": 8, "mtu": mtu}),
        document("Bridge/br-B", {"uplink": "inner", "mtu": mtu, "addresses": ["10.0.0.1/24"]}),
        document("Bridge/br-C", {"uplink": "on-nic", "mtu": mtu}),
        document("Vlan/inner", {"parent": "outer", "id": 7, "mtu": mtu}),
        document("Vlan/outer", {"parent": "bond0", "id": 20, "protocol": "802.1ad", "mtu": mtu}),
        document("Vlan/on-nic", {"parent": "eno3", "id": 20, "mtu": mtu}),
        document("Bond/bond0", {"members": ["eno1", "eno2"], "mtu": mtu}),
        document("Nic/eno3", {"mtu": mtu}),
        document("Nic/eno1", {"mtu": mtu}),
    ]


NAMES = ("eno1", "eno2", "eno3", "bond0", "outer", "inner", "on-nic", "outer.8", "br-A", "br-B", "br-C")


def mtus(host: ExecutedHost) -> dict[str, int]:
    links = host.live().links
    return {name: links[name].mtu for name in NAMES}


@isolated
def test_scenario_17_the_mtu_goes_up_and_down_through_all_layers() -> None:
    for name in ("eno1", "eno2", "eno3"):
        ip(f"link add {name} type dummy")
    host = ExecutedHost()
    for mtu in (1500, 9000, 1500, 9000):
        host.converge(*layers(mtu))
        assert mtus(host) == dict.fromkeys(NAMES, mtu)
    ip("tuntap add vnet0 mode tap")
    ip("link set vnet0 mtu 1500 master br-B up")
    assert host.link("br-B").mtu == 9000, "pinned: a smaller port does not shrink it"
    ip("link set bond0 mtu 1500")  # clamps the VLANs, and raising it again does not bring them back
    assert host.link("inner").mtu == 1500
    host.converge(*layers(9000))
    assert mtus(host) == dict.fromkeys(NAMES, 9000)
    too_much = host.plan(
        document("Bond/bond0", {"members": ["eno1"]}),
        document("Bridge/br-A", {"uplink": "bond0", "vlan": 8, "mtu": 9500}),
    )
    assert any("declare mtu 9500 for Bond/bond0" in r.advice for c in too_much.changes for r in c.refused)
