"""What ``test_network_convergence`` found, each by itself: a kernel in memory, documents, and what must be so."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Route
from cell_reconciler.model.mark import GROUP, RTPROT
from tests.fakes import Kernel
from tests.fakes.devices import Address
from tests.fakes.host import Host, in_order, refused
from tests.network import document

STATIC = 4  # RTPROT_STATIC
NICS = ("eno1", "eno2")


def host() -> Host:
    """Two NICs that are up."""
    kernel = Kernel()
    for name in NICS:
        kernel.nic(name, up=True)
    return Host(kernel)


def apply(at: Host, *documents: Document, prune: bool = False, steps: int | None = None) -> list[str]:
    """Run the plan (or its first steps), see that it was enough, and return what it refused."""
    plan = at.plan(list(documents), prune)
    at.run(plan, in_order, steps)
    if steps is None:
        at.settle(list(documents), prune, plan)
    return refused(plan)


def link(at: Host, name: str) -> Any:
    return at.live().links[name]


def routed(at: Host, **route: Any) -> Route:
    made = Route(**{"protocol": STATIC, **route})
    at.doors.netlink.kernel.layer3.set_route(made)
    return made


def addressed(at: Host, name: str, cidr: str, origin: str = "ours") -> None:
    kernel = at.doors.netlink.kernel
    kernel.layer3.add_address(kernel.find(name), Address(cidr, origin))


def test_what_we_make_was_not_adopted_whatever_the_document_allows() -> None:
    at = host()
    apply(at, document("Bridge/br0", adopt=True), document("Bond/bond0", {"members": ["eno1"]}, adopt=True))
    assert not any(link(at, name).alias.endswith("adopted") for name in ("br0", "bond0"))


def test_a_nic_has_what_its_document_says_after_it_left_a_bond() -> None:
    """The kernel gives it back the MTU that it came with, takes it down, and with that forgets its IPv6 addresses."""
    at = host()
    apply(at, document("Bond/bond0", {"members": ["eno1", "eno2"], "mtu": 1400}))
    nic = document("Nic/eno2", {"mtu": 1400, "addresses": ["fd00::1/64"]})
    assert not apply(at, document("Bond/bond0", {"members": ["eno1"], "mtu": 1400}), nic)
    assert (link(at, "eno2").mtu, link(at, "eno2").addresses, link(at, "eno2").up) == (1400, ("fd00::1/64",), True)


def test_a_nic_that_is_declared_down_is_down_with_its_addresses() -> None:
    at = host()
    apply(at, document("Nic/eno1", {"adminState": "down", "addresses": ["fd00::1/64", "10.0.0.1/24"]}))
    assert not link(at, "eno1").up
    assert link(at, "eno1").addresses == ("10.0.0.1/24", "fd00::1/64")


def test_a_nic_that_is_taken_down_keeps_its_addresses() -> None:
    at = host()
    apply(at, document("Nic/eno1", {"addresses": ["fd00::1/64"]}))
    addressed(at, "eno1", "fd00::2/64", "static")
    apply(at, document("Nic/eno1", {"addresses": ["fd00::1/64"], "adminState": "down"}))
    assert link(at, "eno1").addresses == ("fd00::1/64", "fd00::2/64")


def test_a_nic_takes_no_route_of_others_unless_its_document_adopts() -> None:
    at = host()
    theirs = routed(at, to="10.8.0.0/16", link="eno2")
    said = apply(at, document("Nic/eno1", {"routes": [{"to": "10.8.0.0/16"}]}))
    assert "set by somebody else" in said[0]
    assert theirs in at.live().routes
    apply(at, document("Nic/eno1", {"routes": [{"to": "10.8.0.0/16"}]}, adopt=True))
    assert [r.link for r in at.live().routes] == ["eno1"]


def test_routes_of_others_outlive_our_last_address() -> None:
    """fib_disable_ip: with the last IPv4 address of a link all its IPv4 routes go."""
    at = host()
    apply(at, document("Nic/eno1", {"addresses": ["10.0.0.1/24"]}))
    theirs = routed(at, to="10.8.0.0/16", link="eno1")
    apply(at, document("Nic/eno1", {"addresses": []}))
    assert not link(at, "eno1").addresses
    assert at.live().routes == (theirs,)


def test_a_nic_with_routes_of_others_does_not_become_a_member() -> None:
    at = host()
    theirs = routed(at, to="10.8.0.0/16", link="eno1")
    assert "Conflict" in apply(at, document("Bond/bond0", {"members": ["eno1", "eno2"]}))[0]
    assert theirs in at.live().routes


def test_numbers_of_a_member_that_is_missing_are_not_set_again_and_again() -> None:
    at = host()
    spec = {"members": ["eno1", "eno9"], "prio": {"eno9": 1}, "queueId": {"eno9": 2}, "primary": "eno9"}
    assert apply(at, document("Bond/bond0", spec | {"activeSlave": "eno9"}))


def test_an_option_of_another_mode_is_refused_from_the_start() -> None:
    at = host()
    said = apply(at, document("Bond/bond0", {"members": ["eno1"], "lacpRate": "fast"}, adopt=True))
    assert "has no lacpRate" in said[0]


def test_the_last_member_leaves_and_the_address_is_still_the_declared_one() -> None:
    at = host()
    apply(at, document("Bond/bond0", {"members": ["eno1"]}))
    mac = "52:54:00:00:00:aa"
    apply(at, document("Bond/bond0", {"members": [], "mac": mac, "failOverMac": "follow"}))
    assert link(at, "bond0").mac == mac


def test_with_stp_on_a_forward_delay_that_the_kernel_refuses_is_refused() -> None:
    at = host()
    at.doors.netlink.create_link("br0", "bridge", group=0, data={"br_stp_state": 1})
    said = apply(at, document("Bridge/br0", {"forwardDelay": "0s"}, adopt=True))
    assert "runs STP" in said[0]


def test_routes_of_ours_on_a_new_uplink_go_with_the_document_that_had_them() -> None:
    at = host()
    apply(at, document("Nic/eno1", {"addresses": ["10.0.0.1/24"], "routes": [{"to": "default", "via": "10.0.0.254"}]}))
    apply(at, document("Bridge/br0", {"uplink": "eno1", "addresses": ["10.0.0.1/24"]}))
    assert not [route for route in at.live().routes if route.protocol == RTPROT]


def test_an_mtu_of_1280_is_pinned_without_losing_ipv6() -> None:
    at = host()
    apply(at, document("Bridge/br0", {"addresses": ["fd00::1/64"], "mtu": 1280}))
    apply(at, document("Bridge/br0", {"addresses": ["fd00::1/64"], "mtu": 1280, "stp": True}))
    assert link(at, "br0").addresses == ("fd00::1/64",)


def test_an_mtu_that_waits_for_an_uplink_is_not_set_with_the_mark() -> None:
    at = host()
    apply(at, document("Bridge/br0", {"mtu": 1400}))
    assert apply(at, document("Bridge/br0", {"mtu": 9000, "uplink": "eno9", "priority": 7}))
    assert link(at, "br0").mtu == 1400


def test_a_bond_of_others_is_not_ours_because_it_is_an_uplink() -> None:
    at = host()
    at.doors.netlink.create_link("bond9", "bond", group=0)
    uplink, keep = document("Bridge/br0", {"uplink": "bond9"}), document("Bridge/keep")
    apply(at, uplink, keep, prune=True)
    assert link(at, "bond9").group == GROUP
    assert not apply(at, uplink, keep, prune=True)
    apply(at, keep, prune=True)
    assert link(at, "bond9").group == 0


@pytest.mark.parametrize("steps", range(5))
def test_a_move_of_an_address_that_was_cut_short_goes_on(steps: int) -> None:
    at = host()
    apply(at, document("Bridge/br0", {"addresses": ["10.0.0.1/24"]}))
    new = document("Bridge/br1", {"addresses": ["10.0.0.1/24"]})
    apply(at, new, steps=steps)
    apply(at, new)
    assert (link(at, "br0").addresses, link(at, "br1").addresses) == ((), ("10.0.0.1/24",))


def test_a_source_that_stands_on_the_link_of_its_route_is_no_circle() -> None:
    at = host()
    bond = document("Bond/bond0", {"members": ["eno1"], "routes": [{"to": "10.7.0.0/16", "source": "10.0.0.1"}]})
    vlan = document("Vlan/v5", {"parent": "bond0", "id": 5, "addresses": ["10.0.0.1/24"]})
    assert "stands on Bond/bond0" in apply(at, bond, vlan)[0]
    assert [route.to for route in at.live().routes] == ["10.7.0.0/16"], "the next plan did it"


def test_who_needs_what_waits_waits_too() -> None:
    at = host()
    bond = document("Bond/bond0", {"members": [], "routes": [{"to": "10.7.0.0/16", "source": "10.0.0.1"}]})
    vlan, bridge = document("Vlan/v5", {"parent": "bond0", "id": 5}), document("Bridge/br0", {"uplink": "v5"})
    assert len(apply(at, bond, vlan, bridge)) == 3
    assert set(at.live().links) == {"lo", *NICS}


def test_a_vlan_waits_for_a_parent_whose_own_change_waits() -> None:
    at = host()
    at.doors.netlink.set_link("eno1", up=False)
    nic = document("Nic/eno1", {"routes": [{"to": "10.7.0.0/16", "source": "10.0.0.1"}]})
    said = apply(at, nic, document("Vlan/v5", {"parent": "eno1", "id": 5}))
    assert said[1].endswith("eno1 is down")


def test_everything_below_a_vlan_is_brought_up() -> None:
    at = host()
    at.doors.netlink.create_link("v5", "vlan", parent="eno1", group=0, data={"vlan_id": 5})
    at.doors.netlink.set_link("eno1", up=False)
    apply(at, document("Vlan/v6", {"parent": "v5", "id": 6}))
    assert link(at, "v6").up


def test_no_uplink_stands_on_its_own_bridge() -> None:
    at = host()
    apply(at, document("Bridge/br0"), document("Vlan/v5", {"parent": "br0", "id": 5}))
    assert "stands on br0 itself" in apply(at, document("Bridge/br0", {"uplink": "v5", "vlan": 6}))[0]


def test_a_vlan_device_that_somebody_took_off_goes_when_the_uplink_changes() -> None:
    at = host()
    apply(at, document("Bridge/br0", {"uplink": "eno1", "vlan": 5}))
    at.doors.netlink.set_link("eno1.5", master=None)
    apply(at, document("Bridge/br0", {"uplink": "eno2", "vlan": 5}))
    assert "eno1.5" not in at.live().links


def test_an_mtu_is_measured_at_what_will_be_below() -> None:
    at = host()
    below, above = {"parent": "eno1", "id": 5}, {"parent": "v5", "id": 6, "mtu": 1400}
    documents = [document("Nic/eno1", {"mtu": 1300}), document("Vlan/v5", below), document("Vlan/v6", above)]
    assert "mtu 1400 is more than" in apply(at, *documents)[0]


def test_an_address_of_ours_on_a_nic_is_no_reason_once_it_moved() -> None:
    at = host()
    addressed(at, "eno1", "10.0.0.1/24")
    apply(at, document("Bond/bond0", {"members": ["eno1"], "addresses": ["10.0.0.1/24"]}))
    assert link(at, "eno1").master is None, "a bond without any member that is free is not made"


def test_what_is_below_a_vlan_of_others_comes_up_before_it_is_a_port() -> None:
    at = host()
    at.doors.netlink.set_link("eno1", up=False)
    at.doors.netlink.create_link("storage", "vlan", parent="eno1", group=0, data={"vlan_id": 5})
    assert apply(at, document("Bridge/br0", {"uplink": "storage"})) == []
    assert (link(at, "eno1").up, link(at, "storage").up, link(at, "storage").master) == (True, True, "br0")
