"""Rules for Bridge documents beyond the schema."""

from __future__ import annotations

from typing import Any

import pytest

from tests.network import document, problems


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ({"vlan": 5}, "vlan-uplink"),
        ({"uplink": "lo"}, "uplink-loop"),
        ({"uplink": "br0"}, "uplink-loop"),
        ({"uplink": "enp129s0f1np1", "vlan": 4094}, "link-name"),
        ({"addresses": ["10.0.0.300/24"]}, "address"),
        ({"addresses": ["10.0.0.0/24"]}, "address"),
        ({"addresses": ["10.0.0.255/24"]}, "address"),
        ({"addresses": ["10.0.0.1/33"]}, "address"),
        ({"addresses": ["ff02::1/64"]}, "address"),
        ({"addresses": ["FD00::1/64", "fd00:0::1/64"]}, "address-twice"),
        ({"mac": "01:00:5e:00:00:01"}, "mac-unicast"),
    ],
)
def test_what_one_document_may_not_say(spec: dict[str, Any], rule: str) -> None:
    assert problems(document("Bridge/br0", spec)) == {rule}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"uplink": "bond-VM", "vlan": 4094},
        {"addresses": ["10.0.0.0/31", "10.1.0.1/24", "fe80::1/64", "169.254.0.1/16"]},
    ],
)
def test_good_bridges_have_no_problem(spec: dict[str, Any]) -> None:
    assert problems(document("Bridge/br-VM.101", spec)) == set()


def test_cloud0_reaches_no_network() -> None:
    assert problems(document("Bridge/cloud0", {"uplink": "eno1"})) == {"cloud0-uplink"}
    assert problems(document("Bridge/cloud0", {"addresses": ["169.254.0.1/16"]})) == set()


def test_an_uplink_is_a_port_of_one_bridge() -> None:
    a, b = document("Bridge/a", {"uplink": "bond0"}), document("Bridge/b", {"uplink": "bond0"})
    assert problems(a, b) == {"uplink-of-two"}
    c, d = document("Bridge/c", {"uplink": "bond0", "vlan": 5}), document("Bridge/d", {"uplink": "bond0", "vlan": 5})
    assert problems(c, d) == {"uplink-of-two"}
    assert problems(a, c) == set(), "the untagged network and a VLAN of one bond are two networks"
    assert problems(c, document("Bridge/d", {"uplink": "bond0", "vlan": 6})) == set()


def test_bridges_on_bridges() -> None:
    a, b = document("Bridge/a", {"uplink": "b", "vlan": 5}), document("Bridge/b", {"uplink": "a", "vlan": 5})
    assert problems(a, b) == {"uplink-loop"}
    assert problems(document("Bridge/c", {"uplink": "d"}), document("Bridge/d")) == {"uplink-bridge"}


def test_the_vlan_device_must_not_have_the_name_of_another_link() -> None:
    itself = document("Bridge/br.5", {"uplink": "br", "vlan": 5})
    assert problems(itself, document("Bridge/br")) == {"link-name-taken"}
    taken = problems(document("Bridge/x", {"uplink": "br", "vlan": 5}), document("Bridge/br"), document("Bridge/br.5"))
    assert taken == {"link-name-taken"}


def test_mtu_is_at_most_that_of_the_bond() -> None:
    bond = document("Bond/bond0", {"mtu": 1500})
    assert problems(document("Bridge/a", {"uplink": "bond0", "mtu": 9000}), bond) == {"mtu-uplink"}
    assert problems(document("Bridge/a", {"uplink": "bond0", "mtu": 1500}), bond) == set()


def test_one_address_is_on_one_bridge() -> None:
    a, b = document("Bridge/a", {"addresses": ["10.0.0.1/24"]}), document("Bridge/b", {"addresses": ["10.0.0.1/24"]})
    assert problems(a, b) == {"address-of-two"}
