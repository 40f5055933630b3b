"""Rules for Bond documents beyond the schema."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.model.key import Key
from tests.network import document, problems


def messages(spec: dict[str, Any], **more: Any) -> list[str]:
    doc = document("Bond/bond0", spec, **more)
    return [problem.message for problem in kind("Bond").check(doc, {doc.key: doc})]


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ({"members": ["eno1", "eno1"]}, "member-twice"),
        ({"members": ["lo"]}, "member"),
        ({"members": ["bond0"]}, "member"),
        ({"members": ["eno1"], "primary": "eno2"}, "primary-member"),
        ({"members": ["eno1"], "activeSlave": "eno2"}, "active-member"),
        ({"members": ["eno1", "eno2"], "primary": "eno1", "activeSlave": "eno2"}, "active-preferred"),
        ({"members": ["eno1", "eno2"], "prio": {"eno1": 1}, "activeSlave": "eno2"}, "active-preferred"),
        ({"members": ["eno1"], "primary": "eno1", "mode": "802.3ad"}, "option-mode"),
        ({"members": ["eno1"], "prio": {"eno2": 5}}, "number-member"),
        ({"members": ["eno1"], "queueId": {"eno2": 5}}, "number-member"),
        ({"members": ["eno1", "eno2"], "queueId": {"eno1": 5, "eno2": 5}}, "queue-twice"),
        ({"members": ["eno1"], "minLinks": 2}, "min-links"),
        ({"miimon": 0, "mode": "balance-alb"}, "miimon-mode"),
        ({"mac": "01:00:5e:00:00:01"}, "mac-unicast"),
        ({"mode": "802.3ad", "adActorSystem": "01:00:5e:00:00:01"}, "mac-unicast"),
        ({"failOverMac": "active", "mac": "02:00:00:00:00:01"}, "mac-fail-over"),
        ({"miimon": 100, "arpInterval": 100, "arpIpTarget": ["10.0.0.1"]}, "monitor-both"),
        ({"arpInterval": 100}, "arp-target"),
        ({"arpInterval": 100, "arpIpTarget": []}, "arp-target"),
        ({"arpValidate": "all"}, "arp-validate"),
        ({"updelay": 250}, "delay-multiple"),
        ({"peerNotifDelay": 30}, "delay-multiple"),
        ({"arpInterval": 100, "arpIpTarget": ["10.0.0.1"], "downdelay": 100}, "delay-multiple"),
        ({"numGratArp": 2, "numUnsolNa": 3}, "peer-notifications"),
        ({"arpIpTarget": ["10.0.0.256"]}, "target"),
        ({"arpIpTarget": ["0.0.0.0"]}, "target"),
        ({"arpIpTarget": ["10.0.0.1", "10.0.0.1"]}, "target-twice"),
        ({"nsIp6Target": ["fd00::1", "FD00:0::1"]}, "target-twice"),
        ({"nsIp6Target": ["10.0.0.1"]}, "target"),
        ({"nsIp6Target": ["ff02::1"]}, "target"),
    ],
)
def test_what_one_document_may_not_say(spec: dict[str, Any], rule: str) -> None:
    assert problems(document("Bond/bond0", spec)) == {rule}


@pytest.mark.parametrize(
    "spec",
    [
        {"members": ["eno1", "eno2"], "mode": "active-backup", "primary": "eno2", "mtu": 9000},
        {"miimon": 0},
        {"miimon": 50, "updelay": 250, "downdelay": 0, "peerNotifDelay": 100},
        {"arpInterval": 100, "arpIpTarget": ["10.0.0.1"], "arpValidate": "all", "arpMissedMax": 3},
        {"miimon": 0, "arpInterval": 100, "nsIp6Target": ["fe80::1"]},
        {"miimon": 100, "arpInterval": 0},
        {"mode": "802.3ad", "lacpRate": "fast", "adActorSystem": "00:00:00:00:00:00", "miimon": 100},
        {"members": ["eno1", "eno2"], "queueId": {"eno1": 0, "eno2": 0}, "prio": {"eno1": -5}},
        {"numGratArp": 3, "numUnsolNa": 3},
        {"failOverMac": "follow", "mac": "02:00:00:00:00:01"},
        {"mode": "balance-rr", "failOverMac": "active", "mac": "02:00:00:00:00:01"},
    ],
)
def test_a_good_bond_has_no_problem(spec: dict[str, Any]) -> None:
    assert problems(document("Bond/bond-MGMT", spec)) == set()


def test_messages_name_both_sides_and_what_the_kernel_would_do() -> None:
    assert messages({"updelay": 250}) == ["updelay 250 is not a multiple of miimon 100: the kernel would use 200"]
    assert messages({"miimon": 0, "updelay": 30}) == [
        "updelay 30 is not a multiple of miimon 0: the kernel would use 0"
    ]
    (both,) = messages({"miimon": 100, "arpInterval": 200, "arpIpTarget": ["10.0.0.1"]})
    assert both == "miimon 100 and arpInterval 200 exclude each other: the kernel runs one of them"
    assert messages({"lacpRate": "fast"}) == ["mode active-backup has no lacpRate; it is an option of 802.3ad"]


def test_of_an_adopted_bond_what_the_document_leaves_out_is_not_known() -> None:
    assert messages({"lacpRate": "fast"}, adopt=True) == []
    assert messages({"mode": "active-backup", "lacpRate": "fast"}, adopt=True)
    assert messages({"updelay": 250}, adopt=True) == []
    assert messages({"miimon": 100, "updelay": 250}, adopt=True)


@pytest.mark.parametrize("name", ["a-name-of-16-char", "lo", "a b", "bond/0", "-bond", "bond:0"])
def test_names_that_the_kernel_would_refuse(name: str) -> None:
    from msgspec.structs import replace

    doc = document("Bond/x", {})
    assert problems(replace(doc, key=Key("Bond", name))) == {"link-name"}


def test_a_nic_has_one_use_only() -> None:
    first, second = document("Bond/a", {"members": ["eno1"]}), document("Bond/b", {"members": ["eno1"]})
    assert problems(first, second) == problems(second, first) == {"member-of-two"}
    on_nic = document("Bridge/br0", {"uplink": "eno1"})
    assert problems(first, on_nic) == {"member-is-uplink"}
    assert problems(on_nic, first) == {"uplink-is-member"}
    access = document("Bridge/br0", {"uplink": "eno1", "vlan": 5})
    assert problems(first, access) == {"member-is-uplink"}
    assert problems(first, document("Vlan/eno1.7", {"parent": "eno1", "id": 7})) == {"member-is-uplink"}
    assert problems(first, document("Nic/eno1", {})) == set()


def test_a_bond_of_a_bond_and_two_links_of_one_name() -> None:
    inner = document("Bond/inner", {"members": ["eno1"]})
    assert problems(document("Bond/outer", {"members": ["inner"]}), inner) == {"member-kind"}
    assert problems(document("Bond/x"), document("Bridge/x")) == {"link-name-taken"}


def test_a_bond_under_a_bridge_has_a_name_that_the_agent_knows_and_no_network_of_its_own() -> None:
    bridge = document("Bridge/br0", {"uplink": "uplink0"})
    assert problems(document("Bond/uplink0", {}), bridge) == {"agent-name"}
    assert problems(document("Bond/uplink0", {}), document("Bridge/br0", {"uplink": "uplink0", "vlan": 7})) == {
        "agent-name"
    }
    assert problems(document("Bond/uplink0", {})) == set(), "nobody looks for it there"
    held = document("Bond/bond0", {"addresses": ["10.0.0.1/24"]})
    assert problems(held, document("Bridge/br0", {"uplink": "bond0"})) == {"port-network"}
