"""The management address moves from a NIC to its new bridge, and nobody who talks to the host notices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kernel.inside.watchers import no_loss, stable, switch
from tests.network import ExecutedHost, document, ip, isolated, refusals
from tests.spaces import Space, without_dad

pytestmark = pytest.mark.kernel
MGMT: dict[str, Any] = {"uplink": "eno1", "addresses": ["10.0.0.11/24", "fd00::11/64"]}


def managed() -> Space:
    """eno1 with the addresses of the host, made by somebody else; another network lies behind the switch."""
    without_dad()
    far = switch("eno1", "eno2")
    far.run("addr add fd00::50/64 dev switch nodad")
    far.run("link add beyond type dummy")
    far.run("link set beyond up")
    far.run("addr add 10.77.0.50/24 dev beyond")
    ip("addr add 10.0.0.11/24 dev eno1")
    ip("addr add fd00::11/64 dev eno1")
    ip("route add default via 10.0.0.50")
    ip("route add 10.66.0.0/16 via 10.0.0.50 metric 7 proto static")
    ip("-6 route add default via fd00::50")
    return far


def ways() -> list[str]:
    """The routes that go out, without the name of the interface."""
    lines = [*ip("-4 route").splitlines(), *ip("-6 route").splitlines()]
    return sorted(" ".join(w for w in line.split() if w not in ("eno1", "br-MGMT")) for line in lines if "via" in line)


@isolated
def test_from_a_nic_to_its_new_bridge() -> None:
    host, far = ExecutedHost(), managed()
    before, mac = ways(), host.link("eno1").mac
    with (
        stable("eno1"),
        no_loss(far, "10.0.0.11"),
        no_loss(far, "10.0.0.11", source="10.77.0.50"),
        no_loss(far, "fd00::11"),
    ):
        host.converge(document("Bridge/br-MGMT", MGMT))
    assert ways() == before
    assert (host.link("eno1").addresses, host.link("br-MGMT").mac) == ((), mac)
    assert host.link("br-MGMT").addresses == ("10.0.0.11/24", "fd00::11/64")
    assert "dev br-MGMT" in ip("route get 10.77.0.50")


@isolated
def test_an_address_that_the_bridge_does_not_take_keeps_the_nic_out_of_it() -> None:
    host, far = ExecutedHost(), managed()
    with stable("eno1"), no_loss(far, "10.0.0.11"):
        plan = host.apply(document("Bridge/br-MGMT", {**MGMT, "addresses": ["10.0.0.11/24"]}))
    assert any("fd00::11/64" in text for text in refusals(plan))
    assert host.doors.writes.total == 0


@isolated
def test_another_address_is_there_before_the_old_one_goes() -> None:
    """A bridge of ours: the second address, a route by it, and then the first one goes."""
    host, far = ExecutedHost(), switch("eno1")
    both = ["10.0.0.11/24", "10.0.0.12/24"]
    spec = {"uplink": "eno1", "addresses": both[:1], "routes": [{"to": "default", "via": "10.0.0.50"}]}
    host.converge(document("Bridge/br0", spec))
    with stable("br0", "eno1"), no_loss(far, "10.0.0.11"):
        host.converge(document("Bridge/br0", {**spec, "addresses": both}))
    with stable("br0", "eno1"), no_loss(far, "10.0.0.12"):
        host.converge(document("Bridge/br0", {**spec, "addresses": both[1:]}))
    assert "default via 10.0.0.50 dev br0" in ip("route")
