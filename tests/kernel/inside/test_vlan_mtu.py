"""Scenario 17: the MTU through NIC, bond, VLAN and bridge, up and down; every layer is right each time."""

from __future__ import annotations

import pytest

from cell_reconciler.model.document import Document
from tests.network import NetworkHost, document, ip, isolated

pytestmark = pytest.mark.kernel


def documents(mtu: int) -> list[Document]:
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


def mtus(host: NetworkHost) -> dict[str, int]:
    links = host.live().links
    return {name: links[name].mtu for name in NAMES}


@isolated
def test_up_and_down_through_all_layers() -> None:
    for name in ("eno1", "eno2", "eno3"):
        ip(f"link add {name} type dummy")
    host = NetworkHost()
    for mtu in (1500, 9000, 1500, 9000):
        host.converge(*documents(mtu))
        assert mtus(host) == dict.fromkeys(NAMES, mtu)
    ip("tuntap add vnet0 mode tap")
    ip("link set vnet0 mtu 1500 master br-B up")
    assert host.link("br-B").mtu == 9000, "pinned: a smaller port does not shrink it"
    ip("link set bond0 mtu 1500")  # clamps the VLANs, and raising it again does not bring them back
    assert host.link("inner").mtu == 1500
    host.converge(*documents(9000))
    assert mtus(host) == dict.fromkeys(NAMES, 9000)
