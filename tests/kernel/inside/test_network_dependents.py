"""What somebody else stands on is not deleted, on a real kernel; and it is, as soon as they have left."""

from __future__ import annotations

import pytest

from cell_reconciler.errors import Refused
from tests.network import NetworkHost, document, ip, isolated, refusals

pytestmark = pytest.mark.kernel

KEEP = document("Bridge/keep")
BOND = document("Bond/bond0", {"members": ["eno1", "eno2"]})
ACCESS = document("Bridge/br-VM.101", {"uplink": "bond0", "vlan": 101})
PLAIN = document("Bridge/br-X")
TAGGED = document("Vlan/v20", {"parent": "bond0", "id": 20})
CHAIN = [BOND, ACCESS, PLAIN, TAGGED]
# What somebody else makes, and what that stands on.
FOREIGN = {
    "a tap in an access bridge": ("tuntap add vnet0 mode tap|link set vnet0 master br-VM.101 up", "br-VM.101"),
    "a veth in a bridge": ("link add vnet0 type veth peer name there|link set vnet0 master br-X up", "br-X"),
    "a macvlan on a bridge": ("link add link br-X name vnet0 type macvlan", "br-X"),
    "a VLAN on a bridge": ("link add link br-X name vnet0 type vlan id 7", "br-X"),
    "an inner VLAN on the device of an access bridge": (
        "link add link bond0.101 name vnet0 type vlan id 7",
        "br-VM.101",
    ),
    "a macvtap on a VLAN": ("link add link v20 name vnet0 type macvtap", "v20"),
    "a VLAN on a bond": ("link add link bond0 name vnet0 type vlan id 7", "bond0"),
    "a macvlan on a bond": ("link add link bond0 name vnet0 type macvlan", "bond0"),
    "an inner VLAN": ("link add link v20 name vnet0 type vlan id 7", "v20"),
}


@pytest.mark.parametrize(("commands", "below"), FOREIGN.values(), ids=FOREIGN)
def test_prune_leaves_what_somebody_stands_on_and_takes_it_when_they_have_left(commands: str, below: str) -> None:
    @isolated
    def test() -> None:
        for name in ("eno1", "eno2"):
            ip(f"link add {name} type dummy")
        host = NetworkHost()
        host.converge(KEEP, *CHAIN)
        for command in commands.split("|"):
            ip(command)
        before = ip("link show vnet0")
        plan = host.apply(KEEP, prune=True)
        assert any("ForeignDependents" in text and f"/{below}:" in text and "vnet0" in text for text in refusals(plan))
        links = host.live().links
        assert {below, "vnet0"} <= links.keys()
        assert links[below].up
        assert ip("link show vnet0") == before
        ip("link del vnet0")
        host.converge(KEEP, prune=True)
        assert set(host.live().links) == {"lo", "eno1", "eno2", "keep"}

    test()


@isolated
def test_what_stands_on_a_link_in_the_moment_of_deleting_is_not_deleted_with_it() -> None:
    """Between plan and step somebody plugs in."""
    for name in ("eno1", "eno2"):
        ip(f"link add {name} type dummy")
    host = NetworkHost()
    host.converge(KEEP, *CHAIN)
    plan = host.plan(KEEP, prune=True)
    ip("link add link br-X name vnet0 type macvlan")
    step = next(s for s in plan.steps if s.op == "bridge.delete" and s.key.name == "br-X")
    with pytest.raises(Refused, match="vnet0 still uses br-X"):
        step.action.do(host.doors)
    assert "br-X" in host.live().links
