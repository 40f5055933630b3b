"""Scenarios 13 to 15: bridges whose ports come and go while others, which are not ours, stay."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from cell_reconciler.model.document import Document
from tests.kernel.inside.watchers import no_loss, stable, switch
from tests.network import ExecutedHost, document, ip, isolated, ops, refusals
from tests.spaces import Space

pytestmark = pytest.mark.kernel
KEEP = document("Bridge/keep")  # so that something is declared when the others are not any more


def bridge(name: str = "br0", /, **spec: Any) -> Document:
    return document(f"Bridge/{name}", spec)


def guest(plug: str, address: str, on: str) -> Space:
    """A cable of somebody else in a bridge."""
    space = Space(plug)
    ip(f"link set {plug} master {on}")
    space.run(f"addr add {address} dev eth0")
    return space


def tap(name: str, on: str) -> None:
    ip(f"tuntap add {name} mode tap")
    ip(f"link set {name} master {on} up")


def untouched(host: ExecutedHost, *names: str) -> list[Any]:
    """All of these links but what the bridge makes of their carrier."""
    found = [msgspec.structs.asdict(host.link(name)) for name in names]
    return [{**link, "port": {k: v for k, v in link["port"].items() if k != "brport_state"}} for link in found]


@isolated
def test_scenario_13_a_port_joins_a_live_bridge_with_a_tap() -> None:
    host, far = ExecutedHost(), switch("eno1", "eno2", address="10.1.0.50/24")
    host.converge(bridge(addresses=["10.1.0.1/24"]))
    inside = guest("vnet0", "10.1.0.2/24", "br0")
    tap("vnet1", "br0")
    others = untouched(host, "vnet0", "vnet1")
    mac = host.link("br0").mac
    with stable("br0", "vnet0"), no_loss(inside, "10.1.0.1"):
        host.converge(bridge(addresses=["10.1.0.1/24"], uplink="eno1"))
    assert untouched(host, "vnet0", "vnet1") == others
    assert (host.link("eno1").master, host.link("br0").mac) == ("br0", mac)
    with no_loss(far, "10.1.0.2"):
        pass  # the guest is reached through the new port
    with stable("br0", "vnet0"), no_loss(inside, "10.1.0.1"):
        host.converge(bridge(addresses=["10.1.0.1/24"], uplink="eno2"))
    assert untouched(host, "vnet0", "vnet1") == others
    assert (host.link("eno1").master, host.link("eno1").up) == (None, True)
    with no_loss(far, "10.1.0.1"):
        time.sleep(3)  # eno1 has the address that the bridge keeps, and must not be heard of


@isolated
def test_scenario_14_a_tap_stays_whether_it_is_listed_or_not() -> None:
    ip("link add eno1 type dummy")
    host = ExecutedHost()
    host.converge(bridge(uplink="eno1"))
    tap("vnet0", "br0")
    before = host.link("vnet0")
    assert host.plan(bridge(uplink="eno1")).empty
    host.converge(bridge(uplink="eno1", stp=True))
    listed = [{"name": "eno1"}, {"name": "vnet0"}]
    for ports in ([{"name": "eno1"}], listed, [{"name": "vnet0"}], []):
        host.converge(bridge(uplink="eno1", ports=ports), prune=True)
        assert (host.link("vnet0").master, host.link("vnet0").group) == ("br0", before.group)
    assert ops(host.converge(bridge(uplink="eno1", ports=[{"name": "vnet0", "isolated": True}])))[0] == "bridge.port"
    assert host.link("vnet0").port["brport_isolated"] == 1
    ip("link del vnet0")
    host.converge(bridge(uplink="eno1", ports=listed))
    assert "vnet0" not in host.live().links, "listing a tap is not making one"


@isolated
def test_scenario_15_a_port_moves_from_a_bridge_that_goes_to_a_new_one() -> None:
    host, far = ExecutedHost(), switch("eno1")
    host.converge(KEEP, bridge("old", uplink="eno1", addresses=["10.0.0.1/24"]))
    tap("vnet0", "old")
    new = bridge("new", uplink="eno1", addresses=["10.0.0.1/24"])
    before = untouched(host, "old", "eno1", "vnet0", "keep")
    with stable("old", "eno1"), no_loss(far, "10.0.0.1"):
        refused = host.apply(KEEP, new, prune=True)
    assert any("vnet0 is plugged into old" in text for text in refusals(refused)), refusals(refused)
    assert any("Bridge/new" in text for text in refusals(refused)), refusals(refused)
    assert untouched(host, "old", "eno1", "vnet0", "keep") == before, "nothing of it is done by half"
    assert "new" not in host.live().links
    ip("link del vnet0")
    host.converge(KEEP, new, prune=True)
    assert host.link("eno1").master == "new"
    assert "old" not in host.live().links
    with no_loss(far, "10.0.0.1"):
        pass


@isolated
def test_scenario_15_two_bridges_swap_their_vlans() -> None:
    """Neither goes, but each has what the other wants: what stands on them keeps its bridge."""
    ip("link add eno1 type dummy")
    host = ExecutedHost()

    def documents(first: int, second: int) -> list[Document]:
        return [bridge("a", uplink="eno1", vlan=first), bridge("b", uplink="eno1", vlan=second)]

    host.converge(*documents(5, 6))
    indexes = {name: host.link(name).index for name in ("a", "b")}
    host.converge(*documents(6, 5))
    assert {host.link("eno1.5").master, host.link("eno1.6").master} == {"a", "b"}
    assert (host.link("eno1.6").master, {name: host.link(name).index for name in indexes}) == ("a", indexes)
