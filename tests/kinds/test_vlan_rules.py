"""Rules of Vlan documents, alone and beside the others of their host."""

from __future__ import annotations

import pytest

from cell_reconciler.model.document import Document
from tests.network import document, problems

BOND = document("Bond/bond0", {"members": ["eno1"], "mtu": 1500})
V20 = {"parent": "bond0", "id": 20}


def test_a_plain_vlan_breaks_no_rule() -> None:
    assert problems(document("Vlan/storage", V20), BOND) == set()
    assert problems(document("Vlan/storage", {"parent": "eno9", "id": 4094, "mtu": 9000})) == set()


@pytest.mark.parametrize(
    ("doc", "others", "rule"),
    [
        (document("Vlan/a-name-too-long-", V20), [], "link-name"),
        (document("Vlan/v20", {**V20, "mac": "01:00:5e:00:00:01"}), [], "mac-unicast"),
        (document("Vlan/bond0", {"parent": "eno9", "id": 5}), [BOND], "link-name-taken"),
        (document("Vlan/v20", V20), [document("Nic/v20")], "link-name-taken"),
        (document("Vlan/v20", V20), [document("Bridge/v20")], "link-name-taken"),
        (document("Vlan/eno9.5", V20), [document("Bridge/br5", {"uplink": "eno9", "vlan": 5})], "link-name-taken"),
        (document("Vlan/v20", {"parent": "lo", "id": 20}), [], "parent-loop"),
        (document("Vlan/v20", {"parent": "v20", "id": 20}), [], "parent-loop"),
        (document("Vlan/a", {"parent": "b", "id": 1}), [document("Vlan/b", {"parent": "a", "id": 2})], "parent-loop"),
        (document("Vlan/a", {"parent": "br0", "id": 1}), [document("Bridge/br0", {"uplink": "a"})], "parent-loop"),
        (document("Vlan/v20", {"parent": "eno1", "id": 20}), [BOND], "parent-is-member"),
        (document("Vlan/v20", {**V20, "mtu": 9000}), [BOND], "mtu-parent"),
        (document("Vlan/v20", V20), [BOND, document("Vlan/w20", V20)], "vlan-twice"),
        (document("Vlan/v20", V20), [BOND, document("Bridge/br0", {"uplink": "bond0", "vlan": 20})], "vlan-twice"),
        (
            document("Vlan/v20", {**V20, "addresses": ["10.0.0.1/24"]}),
            [BOND, document("Bridge/br0", {"uplink": "v20"})],
            "port-network",
        ),
    ],
)
def test_what_is_wrong_is_said(doc: Document, others: list[Document], rule: str) -> None:
    assert rule in problems(doc, *others)


def test_a_loop_further_down_is_not_blamed_on_what_stands_on_it() -> None:
    loop = [document("Vlan/b", {"parent": "c", "id": 1}), document("Vlan/c", {"parent": "b", "id": 2})]
    assert problems(document("Vlan/a", {"parent": "b", "id": 3}), *loop) == set()


def test_the_outer_tag_is_another_vlan() -> None:
    outer = document("Vlan/s20", {**V20, "protocol": "802.1ad"})
    access = document("Bridge/br0", {"uplink": "bond0", "vlan": 20})
    assert problems(outer, BOND, document("Vlan/v20", V20), access) == set()
