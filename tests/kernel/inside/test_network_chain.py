"""NIC, bond, VLAN and bridge as one chain, on a kernel that has them all."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cell_reconciler.model.change import Risk
from cell_reconciler.model.document import Document
from tests.network import NetworkHost, document, ip, isolated, ops, refusals

pytestmark = pytest.mark.kernel


def standard(**of_bond: Any) -> list[Document]:
    """The documents of a standard host, in the order in which nothing can be made."""
    return [
        document("Bridge/br-VM.101", {"uplink": "bond-VM", "vlan": 101}),
        document("Bridge/br-PN", {"uplink": "bond-VM", "vlan": 20, "addresses": ["10.20.0.11/24"]}),
        document("Bridge/br-VM", {"uplink": "bond-VM"}),
        document("Bridge/br-MGMT", {"uplink": "bond-MGMT", "addresses": ["10.10.0.11/24", "fd00::11/64"]}),
        document("Bridge/cloud0", {"addresses": ["169.254.0.1/16"]}),
        document("Bond/bond-VM", {"members": ["ens1f0", "ens1f1"], **of_bond}),
        document("Bond/bond-MGMT", {"members": ["eno1", "eno2"]}),
    ]


def nics() -> None:
    for name in ("eno1", "eno2", "ens1f0", "ens1f1"):
        ip(f"link add {name} type dummy")


def facts(*names: str) -> list[Any]:
    """What ``ip -d`` says of these links and their addresses, but for timers and the late operstate."""
    return [_still(json.loads(ip(f"-d -j {what} show dev {name}"))) for name in names for what in ("link", "addr")]


def settled(*names: str) -> list[Any]:
    """The facts once nothing moves by itself: IPv6 tries its address, and a bridge its port, for some seconds."""
    seen: list[Any] = []
    for _ in range(30):
        before, seen = seen, facts(*names)
        if seen == before:
            return seen
        time.sleep(3)
    raise AssertionError(f"{names} never came to rest")


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _still(inner) for key, inner in value.items() if not key.endswith("_timer") and key != "operstate"}
    return [_still(inner) for inner in value] if isinstance(value, list) else value


@isolated
def test_a_standard_host() -> None:
    nics()
    host = NetworkHost()
    host.converge(*standard())
    links = host.live().links
    assert links["bond-VM.101"].master == "br-VM.101"
    assert links["bond-VM.101"].parent == "bond-VM"
    assert links["bond-VM.101"].data["vlan_id"] == 101
    assert links["bond-VM"].master == "br-VM"
    assert links["br-VM"].mac == links["bond-VM"].mac
    assert all(links[name].up for name in links if name != "lo")
    assert links["br-VM.101"].ipv6_disabled, "a host has no address on the networks of its VMs"
    assert not links["br-MGMT"].ipv6_disabled
    assert links["br-MGMT"].owned_addresses == ("10.10.0.11/24", "fd00::11/64")
    assert links["cloud0"].carrier is False


@isolated
def test_a_crash_after_any_step() -> None:
    nics()
    host, number = NetworkHost(), 0
    while True:
        plan = host.apply(*standard(), steps=number)
        assert not refusals(plan)
        host.converge(*standard())
        host.apply(document("Bridge/keep"), prune=False)
        if number >= len(plan.steps):
            break
        for name in list(host.live().links):
            if name not in ("lo", "eno1", "eno2", "ens1f0", "ens1f1") and name in host.live().links:
                host.doors.netlink.delete_link(name)
        number += 3  # each third: the whole takes minutes in emulation


@isolated
def test_another_vlan_another_uplink_and_none() -> None:
    nics()
    host = NetworkHost()
    bonds = standard()[5:]
    host.converge(document("Bridge/br-x", {"uplink": "bond-VM", "vlan": 5}), *bonds)
    index = host.link("br-x").index
    host.converge(document("Bridge/br-x", {"uplink": "bond-VM", "vlan": 6}), *bonds)
    assert "bond-VM.5" not in host.live().links
    assert host.link("bond-VM.6").master == "br-x"
    host.converge(document("Bridge/br-x", {"uplink": "bond-MGMT"}), *bonds)
    assert "bond-VM.6" not in host.live().links
    assert host.link("bond-MGMT").master == "br-x"
    host.converge(document("Bridge/br-x"), *bonds)
    assert host.link("bond-MGMT").master is None
    assert host.link("br-x").index == index


@isolated
def test_what_vms_plug_in_stays() -> None:
    nics()
    host = NetworkHost()
    bonds = standard()[5:]
    host.converge(document("Bridge/br-x", {"uplink": "bond-VM", "vlan": 5}), *bonds)
    ip("tuntap add vnet0 mode tap")
    ip("link set vnet0 master br-x up")
    before = settled("vnet0")
    plan = host.converge(document("Bridge/br-x", {"uplink": "bond-VM", "vlan": 6}), *bonds)
    assert [step.risk for step in plan.steps if step.op == "bridge.vlan.delete"] == [Risk.CUTS_VM]
    assert settled("vnet0") == before
    refused = host.apply(*bonds, prune=True)
    assert any("vnet0 is plugged into br-x" in text for text in refusals(refused))
    assert host.link("vnet0").master == "br-x"


@isolated
def test_the_vlan_device_of_somebody_else_is_not_taken() -> None:
    nics()
    host = NetworkHost()
    bonds = standard()[5:]
    host.converge(*bonds)
    ip("link add brbond-VM-101 type bridge")
    ip("link add link bond-VM name bond-VM.101 type vlan id 101")
    ip("link set bond-VM.101 master brbond-VM-101 up")
    ip("link add link bond-VM name storage type vlan id 20")
    before = settled("bond-VM.101", "brbond-VM-101", "storage")
    plan = host.apply(*standard())
    reasons = refusals(plan)
    assert any("br-VM.101: Conflict" in text and "bond-VM.101" in text for text in reasons)
    assert any("br-PN: Conflict" in text and "storage" in text for text in reasons)
    assert settled("bond-VM.101", "brbond-VM-101", "storage") == before


@isolated
def test_foreign_links_are_the_same_before_and_after() -> None:
    nics()
    ip("link add virbr0 type bridge")
    ip("addr add 192.168.122.1/24 dev virbr0")
    ip("link add docker0 type bridge")
    ip("link add veth0 type veth peer name veth1")
    ip("link set veth0 master docker0 up")
    ip("link add bond9 type bond mode balance-xor")
    ip("link add link bond9 name bond9.7 type vlan id 7")
    ip("tuntap add vnet9 mode tap")
    ip("link set vnet9 master virbr0")
    names = ("virbr0", "docker0", "veth0", "veth1", "bond9", "bond9.7", "vnet9")
    before = settled(*names)
    host = NetworkHost()
    host.converge(*standard())
    host.converge(*standard(mode="802.3ad"))
    host.converge(
        document("Bond/bond-VM", {"members": ["ens1f0"]}), document("Bond/bond-MGMT"), *standard()[:4], prune=True
    )
    assert settled(*names) == before


@isolated
def test_drift_is_repaired() -> None:
    nics()
    host = NetworkHost()
    host.converge(*standard())
    ip("link set bond-VM.101 nomaster")
    ip("link del bond-VM.20")
    ip("link del br-VM")
    ip("addr del 10.10.0.11/24 dev br-MGMT")
    ip("link set br-VM.101 down")
    plan = host.converge(*standard())
    assert {str(change.key) for change in plan.changes if change.steps} == {
        "Bridge/br-VM.101",
        "Bridge/br-PN",
        "Bridge/br-VM",
        "Bridge/br-MGMT",
    }
    assert "bond.create" not in ops(plan)


@isolated
def test_a_bridge_moves_from_a_nic_with_its_address() -> None:
    nics()
    ip("link set eno1 up")
    ip("addr add 10.10.0.11/24 dev eno1")
    host = NetworkHost()
    refused = host.apply(document("Bridge/br-MGMT", {"uplink": "eno1"}))
    assert any("10.10.0.11/24" in text for text in refusals(refused))
    host.converge(document("Bridge/br-MGMT", {"uplink": "eno1", "addresses": ["10.10.0.11/24"]}))
    assert (host.link("eno1").addresses, host.link("br-MGMT").addresses) == ((), ("10.10.0.11/24",))
    # And on to a bond of that NIC and another one.
    host.converge(
        document("Bond/bond-MGMT", {"members": ["eno1", "eno2"]}),
        document("Bridge/br-MGMT", {"uplink": "bond-MGMT", "addresses": ["10.10.0.11/24"]}),
    )
    assert (host.link("eno1").master, host.link("bond-MGMT").master) == ("bond-MGMT", "br-MGMT")


@isolated
def test_prune_takes_the_chain_apart_top_down() -> None:
    nics()
    host = NetworkHost()
    chain = [standard()[0], standard()[5]]
    host.converge(document("Bridge/keep"), *chain)
    host.converge(document("Bridge/keep"), prune=True)
    assert set(host.live().links) == {"lo", "eno1", "eno2", "ens1f0", "ens1f1", "keep"}
