"""The MTU and the address of a bridge are its own: no port that comes or goes changes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.network import NetworkHost, document, ip, isolated, ops

pytestmark = pytest.mark.kernel


def start() -> NetworkHost:
    ip("link add eno1 type dummy")
    ip("link set eno1 mtu 9000 up")
    return NetworkHost()


def doc(**spec: Any) -> Any:
    return document("Bridge/br0", {"uplink": "eno1", **spec})


def joins(mtu: int) -> int:
    """The MTU of br0 after a tap with this one joined."""
    ip("tuntap add vnet0 mode tap")
    ip(f"link set vnet0 mtu {mtu} master br0 up")
    found: int = NetworkHost().link("br0").mtu
    ip("link del vnet0")
    return found


@isolated
def test_without_a_declared_mtu_the_kernel_follows_the_smallest_port() -> None:
    host = start()
    host.converge(doc())
    assert joins(1500) == 1500, "what the other tests are about"


@isolated
def test_pinned_from_the_creation_on() -> None:
    host = start()
    host.converge(doc(mtu=9000))
    assert joins(1500) == 9000


@pytest.mark.parametrize("first", [{}, {"mtu": 1500}, {"mtu": 9000}, {"priority": 5}])
@isolated
def test_pinned_after_the_spec_changed(first: dict[str, Any]) -> None:
    host = start()
    host.converge(doc(**first))
    host.converge(doc(mtu=9000))
    assert joins(1500) == 9000
    host.converge(doc(mtu=1500))
    assert joins(1400) == 1500
    host.converge(doc(mtu=9000))
    assert joins(1500) == 9000


@isolated
def test_pinned_when_the_uplink_grows_first_and_the_bridge_has_followed_it() -> None:
    """The step that would set it finds it right already; what pins it then is the mark."""
    ip("link add eno1 type dummy")
    host = NetworkHost()
    host.converge(doc())
    host.converge(doc(mtu=9000))
    assert joins(1500) == 9000


@isolated
def test_pinned_after_the_kernel_lost_it() -> None:
    host = start()
    host.converge(doc(mtu=9000))
    ip("link set br0 mtu 1400")
    assert ops(host.converge(doc(mtu=9000))) == ["bridge.mtu"]
    assert joins(1500) == 9000
    ip("link del br0")
    host.converge(doc(mtu=9000))
    assert joins(1500) == 9000


@isolated
def test_pinned_when_adopted() -> None:
    host = start()
    ip("link add br0 type bridge")
    ip("link set eno1 master br0 up")
    assert host.link("br0").mtu == 9000
    host.converge(document("Bridge/br0", {"uplink": "eno1", "mtu": 9000}, adopt=True))
    assert joins(1500) == 9000


@isolated
def test_the_address_is_that_of_the_uplink_and_no_port_changes_it() -> None:
    host = start()
    host.converge(doc())
    mac = host.link("eno1").mac
    ip("tuntap add vnet0 mode tap")
    ip("link set vnet0 address 02:00:00:00:00:01 master br0 up")
    assert host.link("br0").mac == mac
    host.converge(document("Bridge/br0"))
    assert host.link("br0").mac == mac, "also when the uplink is gone"
    host.converge(document("Bridge/br0", {"mac": "02:00:00:00:00:09"}))
    assert host.link("br0").mac == "02:00:00:00:00:09"
