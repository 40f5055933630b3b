"""NICs on the real kernel: virtual ones, each test in a network namespace of its own."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.model.document import Document
from cell_reconciler.model.mark import GROUP
from tests.network import NetworkHost, document, ip, isolated, ops, refusals

pytestmark = pytest.mark.live

KEEP = document("Bridge/keep")
FULL = {"mtu": 1400, "addresses": ["10.0.0.11/24", "fd00::11/64"], "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.1"}]}


def nics(*names: str) -> None:
    """NICs with a cable to a switch that is up."""
    for number, name in enumerate(names or ("eno1", "eno2")):
        ip(f"link add {name} type veth peer name sw{number}")
        ip(f"link set sw{number} up")


def nic(name: str = "eno1", **spec: Any) -> Document:
    return document(f"Nic/{name}", spec)


@isolated
def test_a_document_sets_what_it_names_and_takes_it_back() -> None:
    nics()
    ip("addr add 10.0.0.99/24 dev eno1")  # of somebody else, as is all of the next lines
    ip("link set eno1 up mtu 1300")
    ip("route add 10.8.0.0/16 via 10.0.0.1")
    host = NetworkHost()
    index = host.link("eno1").index
    host.converge(KEEP, nic(**FULL))
    link = host.link("eno1")
    assert (link.mtu, link.group, link.alias[:17]) == (1400, GROUP, "cell/v1;Nic/eno1;")
    assert link.owned_addresses == ("10.0.0.11/24", "fd00::11/64")
    assert "10.9.0.0/16 via 10.0.0.1 dev eno1" in ip("route")
    host.converge(KEEP, prune=True)
    link = host.link("eno1")
    assert (link.index, link.up, link.mtu, link.group, link.alias) == (index, True, 1400, 0, None)
    assert link.addresses == ("10.0.0.99/24",)
    assert "10.9.0.0/16" not in ip("route")
    assert "10.8.0.0/16 via 10.0.0.1 dev eno1" in ip("route")


@isolated
def test_a_crash_after_any_step_of_coming_and_going() -> None:
    nics()
    host, number = NetworkHost(), 0
    while True:
        coming = host.apply(KEEP, nic(**FULL), steps=number)
        host.converge(KEEP, nic(**FULL))
        going = host.apply(KEEP, prune=True, steps=number)
        host.converge(KEEP, prune=True)
        assert (host.link("eno1").group, host.link("eno1").addresses) == (0, ())
        if number > max(len(coming.steps), len(going.steps)):
            break
        number += 1


@isolated
def test_down_and_up() -> None:
    nics()
    host = NetworkHost()
    host.converge(nic(addresses=["10.0.0.11/24"]))
    assert host.link("eno1").up
    host.converge(nic(addresses=["10.0.0.11/24"], adminState="down"))
    assert not host.link("eno1").up
    ip("link set eno1 up")
    assert ops(host.converge(nic(addresses=["10.0.0.11/24"], adminState="down"))) == ["nic.down"]
    host.converge(nic(**FULL))
    assert host.link("eno1").carrier


@isolated
def test_only_named_fields_are_compared() -> None:
    nics()
    host = NetworkHost()
    host.converge(nic())
    ip("link set eno1 mtu 1300")
    ip("addr add 10.0.0.99/24 dev eno1")
    assert not host.plan(nic()).steps


@isolated
def test_ipv6_off_and_on() -> None:
    nics()
    host = NetworkHost()
    host.converge(nic(ipv6=False))
    assert host.link("eno1").ipv6_disabled
    assert "inet6" not in ip("addr show dev eno1")
    host.converge(nic(ipv6=True, addresses=["fd00::1/64"]))
    assert host.link("eno1").addresses == ("fd00::1/64",)


@isolated
def test_a_name_that_moved_to_another_card_is_left_alone() -> None:
    nics()
    host = NetworkHost()
    documents = [nic(name, match={"permanentMac": host.link(name).mac}, mtu=1400) for name in ("eno1", "eno2")]
    host.converge(*documents)
    for old, new in (("eno1", "x"), ("eno2", "eno1"), ("x", "eno2")):
        ip(f"link set {old} down")
        ip(f"link set {old} name {new}")
    before = host.live()
    plan = host.apply(*documents, document("Bridge/br0", {"uplink": "eno1"}))
    assert [text.split(": ")[1] for text in refusals(plan)] == ["NicMismatch"] * 3
    assert "eno2 is the one" in next(r.advice for c in plan.changes for r in c.refused)
    assert host.live() == before


@isolated
def test_a_nic_with_a_document_as_the_uplink_of_a_bridge() -> None:
    nics()
    host = NetworkHost()
    bridge = document("Bridge/br0", {"uplink": "eno1", "addresses": ["10.0.0.11/24"], "mtu": 1400})
    host.converge(nic(mtu=1400), bridge)
    link = host.link("eno1")
    assert (link.master, link.group, link.mtu, host.link("br0").mtu) == ("br0", GROUP, 1400, 1400)
    host.converge(nic(mtu=1300), document("Bridge/br0", {**bridge.given["spec"], "mtu": 1300}))
    host.converge(nic(mtu=1400), document("Bridge/br0", {"uplink": "eno2"}))
    link = host.link("eno1")
    assert (link.master, link.group, link.up) == (None, GROUP, True), "let go, and still the NIC of a document"
    host.converge(nic(mtu=1400), bridge)
    assert host.link("eno2").group == 0


@isolated
def test_who_attached_a_port_is_known_when_its_document_goes() -> None:
    nics()
    host = NetworkHost()
    bridge = document("Bridge/br0", {"uplink": "eno1"})
    host.converge(nic(), bridge)
    host.converge(bridge, prune=True)
    assert (host.link("eno1").group, host.link("eno1").alias) == (GROUP, None)
    host.converge(document("Bridge/br0"))
    assert (host.link("eno1").master, host.link("eno1").group) == (None, 0)
    host.converge(KEEP, nic(), bridge)
    host.converge(KEEP, prune=True)
    assert (host.link("eno1").master, host.link("eno1").group, host.link("eno1").alias) == (None, 0, None)


@isolated
def test_a_document_for_a_port_that_a_bridge_attached_before() -> None:
    nics()
    host = NetworkHost()
    bridge = document("Bridge/br0", {"uplink": "eno1"})
    host.converge(bridge)
    assert ops(host.converge(nic(), bridge)) == ["nic.adopt"]
    host.converge(nic(), document("Bridge/br0"))
    assert (host.link("eno1").master, host.link("eno1").group) == (None, GROUP)


@isolated
def test_addresses_move_from_the_nic_to_its_bridge_and_back() -> None:
    nics()
    host = NetworkHost()
    layer3 = {key: FULL[key] for key in ("addresses", "routes")}
    host.converge(nic(**layer3))
    host.converge(nic(), document("Bridge/br0", {"uplink": "eno1", **layer3}))
    assert (host.link("eno1").addresses, host.link("br0").addresses) == ((), ("10.0.0.11/24", "fd00::11/64"))
    assert "10.9.0.0/16 via 10.0.0.1 dev br0" in ip("route")
    host.converge(nic(**layer3), document("Bridge/br0"))
    assert (host.link("br0").addresses, host.link("eno1").addresses) == ((), ("10.0.0.11/24", "fd00::11/64"))
    assert "10.9.0.0/16 via 10.0.0.1 dev eno1" in ip("route")
