"""A link that another program manages is not taken, and the refusal says what to do."""

from __future__ import annotations

import msgspec
import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.world import build
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.live import Live, Manager
from tests.livelinks import bond, bridge, link, live, ours, vlan
from tests.network import document, plan_of

OFFICE = Manager(name="NetworkManager", detail="profile 'Office LAN', /etc/NetworkManager/system-connections/lan")
WORDS = {
    OFFICE: ("nmcli device set eno1 managed no", "unmanaged-devices=interface-name:eno1", "conf.d"),
    Manager(name="systemd-networkd", detail="/etc/systemd/network/20-lan.network"): (
        "Unmanaged=yes",
        "[Link] section of /etc/systemd/network/20-lan.network",
        "systemctl restart systemd-networkd",
    ),
    Manager(name="netplan", detail="/etc/netplan/50-init.yaml, by systemd-networkd"): (
        "take eno1 out of /etc/netplan/50-init.yaml, then 'netplan generate' and 'systemctl restart systemd-networkd'",
    ),
    Manager(name="ifupdown", detail="iface eno1 in /etc/network/interfaces"): (
        "take eno1 out of its stanza: iface eno1 in /etc/network/interfaces",
    ),
    Manager(name="connman"): ("make connman leave eno1 alone",),
}


def managed_by(manager: Manager, *links: str, of: Live | None = None) -> Live:
    """A host with two NICs, of which ``links`` (eno1) are managed by somebody."""
    seen = of or live(link("eno1"), link("eno2"))
    return msgspec.structs.replace(seen, managers=dict.fromkeys(links or ("eno1",), manager))


def refused(seen: Live, name: str, spec: dict[str, object]) -> list[Refusal]:
    return [r for change in plan_of([document(name, spec)], seen).changes for r in change.refused]


@pytest.mark.parametrize("manager", WORDS, ids=lambda manager: manager.name)
def test_a_bond_does_not_take_its_member(manager: Manager) -> None:
    plan = plan_of([document("Bond/bond0", {"members": ["eno1", "eno2"]})], managed_by(manager))
    (refusal,) = plan.changes[0].refused
    assert refusal.reason == "ManagedElsewhere"
    assert refusal.message.startswith(f"eno1 is managed by {manager.name}")
    assert manager.detail in refusal.message
    assert all(words in refusal.advice for words in WORDS[manager]), refusal.advice
    assert not any(getattr(step.action, "name", "") == "eno1" for step in plan.steps)


def test_a_bridge_does_not_take_its_uplink() -> None:
    (refusal,) = refused(managed_by(OFFICE), "Bridge/br0", {"uplink": "eno1"})
    assert (refusal.reason, "as the uplink of br0" in refusal.message) == ("ManagedElsewhere", True)


def test_what_is_in_its_place_stays_there() -> None:
    """Somebody told NetworkManager to manage what we enslaved long ago: nothing is refused, nothing is undone."""
    nic = link("eno1", master="br0", group=0xCE11)
    seen = managed_by(OFFICE, of=live(nic, bridge("br0")))
    assert refused(seen, "Bridge/br0", {"uplink": "eno1"}) == []
    seen = managed_by(OFFICE, of=live(link("eno1", master="bond0"), bond("bond0")))
    assert refused(seen, "Bond/bond0", {"members": ["eno1"]}) == []


def test_a_bond_of_ours_may_be_an_uplink_whoever_shows_it_as_managed() -> None:
    seen = managed_by(OFFICE, "bond0", of=live(bond("bond0")))
    assert refused(seen, "Bridge/br0", {"uplink": "bond0"}) == []


@pytest.mark.parametrize(
    ("name", "spec", "whose"),
    [
        ("Bond/bond0", {"members": ["eno1"]}, "eno1"),
        ("Bond/bond0", {"members": []}, "bond0"),
        ("Bridge/br0", {"uplink": "eno2"}, "eno2"),
        ("Vlan/eno1.7", {"parent": "eno1", "id": 7}, "eno1.7"),
        ("Nic/eno1", {}, "eno1"),
    ],
)
def test_what_two_manage_is_a_warning(name: str, spec: dict[str, object], whose: str) -> None:
    doc = document(name, spec)
    there = live(
        link("eno1", master="bond0"),
        link("eno2", master="br0"),
        bond("bond0"),
        bridge("br0"),
        vlan("eno1", 7, of=None, **ours("Vlan", "eno1.7")),
    )
    of = kind(doc.key.kind)
    for seen, wanted in ((there, []), (managed_by(OFFICE, whose, of=there), ["ManagedElsewhere"])):
        world = build("cell-01", {doc.key: doc}, seen)
        found = [c for c in of.conditions(doc, of.observe(doc.key.name, world), world) if c.type == "ManagedElsewhere"]
        assert [c.reason for c in found] == wanted
        assert all(f"{whose} is also managed by NetworkManager" in c.message for c in found)
