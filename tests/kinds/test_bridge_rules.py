"""Rules for Bridge documents beyond the schema."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cell_reconciler.kinds import kind
from tests.network import document, problems


def filters(vlans: dict[str, Any]) -> dict[str, Any]:
    """A filtering bridge with one listed port."""
    return {"vlanFiltering": True, "ports": [{"name": "a", "vlans": vlans}]}


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
        ({"stp": True, "forwardDelay": "31s", "maxAge": "40s"}, "bridge-time"),
        ({"helloTime": "990ms"}, "bridge-time"),
        ({"helloTime": "11s"}, "bridge-time"),
        ({"maxAge": "5s"}, "bridge-time"),
        ({"maxAge": "41s"}, "bridge-time"),
        ({"ageingTime": "500d"}, "bridge-time"),
        ({"ageingTime": "15ms"}, "bridge-time"),
        ({"stp": True, "forwardDelay": "4s", "maxAge": "20s"}, "stp-times"),
        ({"groupForwardMask": 9}, "group-forward-mask"),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, "port-twice"),
        ({"ports": [{"name": "br0", "isolated": True}]}, "port-itself"),
        ({"ports": [{"name": "a", "vlans": {"access": 5}}]}, "port-vlans"),
        (filters({}), "port-vlans"),
        (filters({"access": 5, "native": 5}), "port-vlans"),
        (filters({"access": 5, "trunk": [6]}), "port-vlans"),
        (filters({"trunk": ["9-8"]}), "port-vlans"),
        (filters({"trunk": ["1-4095"]}), "port-vlans"),
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
        {"forwardDelay": "0s", "ageingTime": "0s", "groupForwardMask": 65528},
        {"stp": True, "forwardDelay": "15s", "helloTime": "2s", "maxAge": "20s"},
        filters({"native": 5, "trunk": ["1-4094", 7]}),
        {"vlanFiltering": True, "ports": [{"name": "br-VM.101", "vlans": {"access": 5}}]},
    ],
)
def test_good_bridges_have_no_problem(spec: dict[str, Any]) -> None:
    assert problems(document("Bridge/br-VM.101", spec)) == set()


def test_with_stp_the_forward_delay_is_what_the_kernel_takes() -> None:
    assert problems(document("Bridge/br0", {"stp": True, "forwardDelay": "1990ms"})) == {"bridge-time", "stp-times"}
    assert problems(document("Bridge/br0", {"stp": True, "forwardDelay": "2s"})) == {"stp-times"}, "only a warning"


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


def test_a_vlan_that_is_declared_and_made_by_an_access_bridge_as_well_names_both() -> None:
    access = document("Bridge/br-x", {"uplink": "bond0", "vlan": 20})
    for name in ("storage", "bond0.20"):
        vlan = document(f"Vlan/{name}", {"parent": "bond0", "id": 20})
        (problem,) = kind("Bridge").check(access, {d.key: d for d in (access, vlan)})
        assert (problem.rule, "Bridge/br-x" in problem.message) == ("vlan-of-two", True)
        assert f"Vlan/{name}" in problem.message
    assert problems(access, document("Vlan/other", {"parent": "bond0", "id": 21})) == set()
    taken = document("Vlan/bond0.20", {"parent": "bond1", "id": 20})
    assert problems(access, taken) == {"link-name-taken"}


def test_a_declared_vlan_may_be_the_uplink() -> None:
    vlan = document("Vlan/storage", {"parent": "bond0", "id": 20, "mtu": 1500})
    assert problems(document("Bridge/br-x", {"uplink": "storage"}), vlan) == set()
    assert problems(document("Bridge/br-x", {"uplink": "storage", "mtu": 9000}), vlan) == {"mtu-uplink"}
    on_itself = document("Vlan/storage", {"parent": "br-x", "id": 20})
    assert problems(document("Bridge/br-x", {"uplink": "storage"}), on_itself) == {"uplink-loop"}


def test_a_trunk_does_not_name_vlans_that_another_link_takes() -> None:
    trunk = document(
        "Bridge/br-VM",
        {"uplink": "bond0", "vlanFiltering": True, "ports": [{"name": "bond0", "vlans": {"trunk": ["100-200"]}}]},
    )
    assert problems(trunk, document("Bridge/br-x", {"uplink": "bond0", "vlan": 101})) == {"trunk-taken"}
    assert problems(trunk, document("Vlan/storage", {"parent": "bond0", "id": 200})) == {"trunk-taken"}
    assert problems(trunk, document("Bridge/br-x", {"uplink": "bond0", "vlan": 201})) == set()


def test_rules_of_many_bridges_cost_no_more_each() -> None:
    """Each is checked beside all others; four times as many must not cost sixteen times as much."""

    def seconds(count: int) -> float:
        documents = {}
        for vid in range(1, count + 1):
            doc = document(f"Bridge/br.{vid}", {"uplink": "bond0", "vlan": vid})
            documents[doc.key] = doc
        start = time.process_time()
        assert not any(problem for doc in documents.values() for problem in kind("Bridge").check(doc, documents))
        return time.process_time() - start

    few, many = min(seconds(500) for _ in range(3)), min(seconds(2000) for _ in range(3))
    assert many < 10 * few
