"""Rules of Nic documents, alone and beside the others of their host."""

from __future__ import annotations

import pytest

from cell_reconciler.kinds import link_kinds
from cell_reconciler.kinds.links.rules import LINKS
from cell_reconciler.model.document import Document
from tests.network import document, problems

BOND = document("Bond/bond0", {"members": ["eno1"], "mtu": 9000})
BRIDGE = document("Bridge/br0", {"uplink": "eno1"})


def test_the_kinds_of_links_are_those_that_netlink_knows() -> None:
    assert set(LINKS) == link_kinds()


def test_a_plain_nic_breaks_no_rule() -> None:
    spec = {"mtu": 9000, "addresses": ["10.0.0.1/24"], "match": {"pci": "0000:3b:00.0"}}
    assert problems(document("Nic/eno1", spec)) == set()
    assert problems(document("Nic/eno1", {"mtu": 9000, "match": {"permanentMac": "52:54:00:00:00:01"}}), BOND) == set()
    assert problems(document("Nic/eno1", {"adminState": "down"})) == set()


@pytest.mark.parametrize(
    ("doc", "others", "rule"),
    [
        (document("Nic/lo"), [], "link-name"),
        (document("Nic/eno1", {"match": {}}), [], "match-empty"),
        (document("Nic/bond0"), [BOND], "link-name-taken"),
        (document("Nic/eno1", {"addresses": ["10.0.0.1/24"]}), [BOND], "port-network"),
        (document("Nic/eno1", {"routes": [{"to": "10.9.0.0/16"}]}), [BRIDGE], "port-network"),
        (document("Nic/eno1", {"mtu": 1500}), [BOND], "mtu-member"),
        (document("Nic/eno1", {"mtu": 1500}), [document("Bond/bond0", {"members": ["eno1"]})], "mtu-member"),
        (document("Nic/eno1", {"adminState": "down"}), [BOND], "nic-down"),
        (document("Nic/eno1", {"adminState": "down"}), [BRIDGE], "nic-down"),
        (document("Nic/eno1", {"adminState": "down"}), [document("Vlan/v1", {"parent": "eno1", "id": 1})], "nic-down"),
        (
            document("Nic/eno1", {"adminState": "down"}),
            [document("Bridge/b1", {"uplink": "eno1", "vlan": 1})],
            "nic-down",
        ),
    ],
)
def test_what_is_wrong_is_said(doc: Document, others: list[Document], rule: str) -> None:
    assert rule in problems(doc, *others)


def test_a_bridge_on_a_vlan_of_the_nic_leaves_its_addresses_alone() -> None:
    nic = document("Nic/eno1", {"addresses": ["10.0.0.1/24"]})
    assert problems(nic, document("Bridge/br0", {"uplink": "eno1", "vlan": 5})) == set()
