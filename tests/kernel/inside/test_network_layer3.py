"""What goes down with a link, and comes back: VLANs with addresses and routes on a NIC and on a bond."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds.links import layer3
from tests.network import NetworkHost, document, ip, isolated
from tests.spaces import without_dad

pytestmark = pytest.mark.kernel

VLAN: dict[str, Any] = {
    "addresses": ["10.20.0.1/24", "fd20::1/64"],
    "routes": [
        {"to": "10.30.0.0/16", "via": "10.20.0.254"},
        {"to": "default", "via": "fd20::fe", "source": "fd20::1", "table": 100},
    ],
    "rules": [{"from": "fd20::1", "table": 100, "priority": 100}],
}


def routes() -> list[str]:
    """All but what comes by itself when a link goes up."""
    lines = [*ip("-4 route show table all").splitlines(), *ip("-6 route show table all").splitlines()]
    return sorted(line.strip() for line in lines if "fe80" not in line and "ff00" not in line)


@pytest.mark.parametrize("kind", ["dummy", "bond"])
@isolated
def test_vlans_fall_with_their_link_and_are_kept(kind: str) -> None:
    without_dad()
    ip("link set lo up")
    ip(f"link add low0 type {kind}")
    if kind == "bond":
        ip("link add eno1 type dummy")
        ip("link set eno1 master low0")
    ip("link set low0 up")
    at = NetworkHost()
    doc = document("Vlan/low0.20", {"parent": "low0", "id": 20, **VLAN})
    at.converge(doc)
    ip("route add 10.31.0.0/16 via 10.20.0.254 proto bgp")
    ip("route add 10.32.0.0/16 dev low0.20 proto dhcp metric 7")
    before, links = routes(), at.live().links

    ip("link set low0 down")
    ip("link set low0 up")
    assert routes() != before
    at.converge(doc)
    ours = [line for line in before if "proto 206" in line]
    assert [line for line in routes() if "proto 206" in line] == ours
    ip("route add 10.31.0.0/16 via 10.20.0.254 proto bgp")
    ip("route add 10.32.0.0/16 dev low0.20 proto dhcp metric 7")

    with layer3.kept(at.doors, ["low0"]):
        ip("link set low0 down")
        ip("link set low0 up")
    assert routes() == before
    assert at.live().links["low0.20"].addresses == links["low0.20"].addresses
    assert at.plan(doc).empty
    ip("route del 10.31.0.0/16")  # with them, nobody would delete what they go by
    ip("route del 10.32.0.0/16")
    at.converge(document("Bridge/keep"), prune=True)
    assert at.doors.netlink.rules() == ()
