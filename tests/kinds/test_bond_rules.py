"""Rules for Bond documents beyond the schema."""

from __future__ import annotations

from typing import Any

import pytest

from tests.network import document, problems


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ({"members": ["eno1", "eno1"]}, "member-twice"),
        ({"members": ["lo"]}, "member"),
        ({"members": ["bond0"]}, "member"),
        ({"members": ["eno1"], "primary": "eno2"}, "primary-member"),
        ({"members": ["eno1"], "primary": "eno1", "mode": "802.3ad"}, "primary-mode"),
        ({"miimon": 0, "mode": "balance-alb"}, "miimon-mode"),
        ({"mac": "01:00:5e:00:00:01"}, "mac-unicast"),
    ],
)
def test_what_one_document_may_not_say(spec: dict[str, Any], rule: str) -> None:
    assert problems(document("Bond/bond0", spec)) == {rule}


def test_a_good_bond_has_no_problem() -> None:
    spec = {"members": ["eno1", "eno2"], "mode": "active-backup", "primary": "eno2", "mtu": 9000}
    assert problems(document("Bond/bond-MGMT", spec)) == set()
    assert problems(document("Bond/bond-MGMT", {"miimon": 0})) == set()


@pytest.mark.parametrize("name", ["a-name-of-16-char", "lo", "a b", "bond/0", "-bond", "bond:0"])
def test_names_that_the_kernel_would_refuse(name: str) -> None:
    doc = document("Bond/x", {})
    from msgspec.structs import replace

    from cell_reconciler.model.key import Key

    assert problems(replace(doc, key=Key("Bond", name))) == {"link-name"}


def test_a_nic_has_one_use_only() -> None:
    first, second = document("Bond/a", {"members": ["eno1"]}), document("Bond/b", {"members": ["eno1"]})
    assert problems(first, second) == problems(second, first) == {"member-of-two"}
    on_nic = document("Bridge/br0", {"uplink": "eno1"})
    assert problems(first, on_nic) == {"member-is-uplink"}
    assert problems(on_nic, first) == {"uplink-is-member"}
    access = document("Bridge/br0", {"uplink": "eno1", "vlan": 5})
    assert problems(first, access) == {"member-is-uplink"}


def test_a_bond_of_a_bond_and_two_links_of_one_name() -> None:
    inner = document("Bond/inner", {"members": ["eno1"]})
    assert problems(document("Bond/outer", {"members": ["inner"]}), inner) == {"member-kind"}
    assert problems(document("Bond/x"), document("Bridge/x")) == {"link-name-taken"}
