"""The netlink door on the real kernel: bridges, veths and addresses, each test in a network namespace of its own."""

from __future__ import annotations

import select
import socket
import threading

import pytest

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.netlink import LinkEvents, NetlinkDoor
from cell_reconciler.errors import Refused, StepFailed, Unreachable
from cell_reconciler.model.mark import GROUP
from tests.network import ip, isolated

pytestmark = pytest.mark.live


def door() -> NetlinkDoor:
    return NetlinkDoor(Writes())


@isolated
def test_a_link_is_ours_from_the_first_moment() -> None:
    netlink = door()
    netlink.create_link("br-VM.101", "bridge", mac="02:00:00:00:00:01", data={"br_stp_state": 1})
    link = netlink.link("br-VM.101")
    assert link is not None
    assert (link.kind, link.group, link.alias, link.up) == ("bridge", GROUP, None, False)
    assert (link.mac, link.data["br_stp_state"]) == ("02:00:00:00:00:01", 1)
    netlink.set_alias("br-VM.101", "cell/v1;Bridge/br-VM.101;0")
    netlink.disable_ipv6("br-VM.101")
    netlink.set_link("br-VM.101", up=True, mtu=1400)
    link = netlink.link("br-VM.101")
    assert link is not None
    assert (link.alias, link.ipv6_disabled, link.up, link.mtu) == ("cell/v1;Bridge/br-VM.101;0", True, True, 1400)


@isolated
def test_one_link_and_all_links_are_told_the_same_way() -> None:
    netlink = door()
    ip("link add eno1 type veth peer name sw1")
    netlink.create_link("br0", "bridge")
    netlink.set_link("eno1", master="br0")
    netlink.add_address("br0", "10.0.0.1/24")
    every = netlink.observe()["links"]
    assert set(every) == {"lo", "eno1", "sw1", "br0"}
    assert all(netlink.link(name) == link for name, link in every.items())
    assert every["eno1"].master == "br0"
    assert every["eno1"].parent == "sw1", "a peer in the same namespace"
    assert set(netlink.observe(["br0", "absent"])["links"]) == {"br0"}
    assert netlink.link("absent") is None
    assert netlink.link("a-name-that-no-link-can-have") is None


@isolated
def test_an_alternative_name_is_not_the_name() -> None:
    ip("link add eno1 type veth peer name sw1")
    ip("link property add dev eno1 altname enp0s1")
    netlink = door()
    assert netlink.link("enp0s1") is None
    with pytest.raises(StepFailed, match="there is no link enp0s1"):
        netlink.set_link("enp0s1", up=True)


@isolated
def test_addresses_are_told_by_whose_they_are() -> None:
    netlink = door()
    netlink.create_link("br0", "bridge")
    netlink.set_link("br0", up=True)
    netlink.add_address("br0", "10.0.0.1/24")
    netlink.add_address("br0", "FD00:0::1/64")
    ip("addr add 10.0.0.2/24 dev br0")
    ip("addr add 10.0.0.3/24 dev br0 valid_lft 100 preferred_lft 100")
    ip("addr add fe80::77/64 dev br0")
    link = netlink.link("br0")
    assert link is not None
    assert link.owned_addresses == ("10.0.0.1/24", "fd00::1/64")
    assert link.addresses == ("10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", "fe80::77/64"), "the kernel's own fe80 is not"
    assert link.dynamic_addresses == ("10.0.0.3/24",)


@isolated
def test_what_was_given_with_an_address_is_told() -> None:
    ip("link add br0 type bridge")
    ip("link set br0 up")
    ip("address add 10.0.0.1/24 dev br0")
    ip("address add 10.0.1.1 peer 10.0.1.9/32 dev br0 label br0:x")
    ip("address add 10.0.2.1/24 dev br0 scope link noprefixroute metric 7")
    ip("address add fd00::1/64 dev br0 nodad preferred_lft 0")
    ip("address add 169.254.7.1/16 dev br0 scope link")
    link = door().link("br0")
    assert link is not None
    assert link.address_options == {
        "10.0.1.1/32": "peer 10.0.1.9 label br0:x",
        "10.0.2.1/24": "metric 7 scope link noprefixroute",
        "fd00::1/64": "preferred_lft 0",
    }
    assert "10.0.0.1/24" in link.addresses


@isolated
def test_removing_the_first_address_keeps_the_others() -> None:
    netlink = door()
    netlink.create_link("br0", "bridge")
    netlink.set_link("br0", up=True)
    for cidr in ("10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"):
        netlink.add_address("br0", cidr)
    netlink.delete_address("br0", "10.0.0.1/24")
    link = netlink.link("br0")
    assert link is not None
    assert link.addresses == ("10.0.0.2/24", "10.0.0.3/24")


@isolated
def test_what_is_done_already_is_no_error() -> None:
    netlink = door()
    netlink.create_link("br0", "bridge")
    for _ in range(2):
        netlink.add_address("br0", "10.0.0.1/24")
    for _ in range(2):
        netlink.delete_address("br0", "10.0.0.1/24")
    for _ in range(2):
        netlink.delete_link("br0")
    assert netlink.writes.calls == {
        "netlink.create_link": 1,
        "netlink.add_address": 2,
        "netlink.delete_address": 2,
        "netlink.delete_link": 2,
    }


@isolated
def test_errors_are_the_kernels_own_words() -> None:
    netlink = door()
    netlink.create_link("br0", "bridge")
    netlink.create_link("br1", "bridge")
    with pytest.raises(StepFailed, match=r"cannot create the bridge br0: File exists \(EEXIST\)"):
        netlink.create_link("br0", "bridge")
    with pytest.raises(StepFailed, match="Can not enslave a bridge to a bridge"):
        netlink.set_link("br0", master="br1")
    with pytest.raises(StepFailed, match="mtu less than device minimum"):
        netlink.set_link("br0", mtu=10)
    with pytest.raises(StepFailed, match="policy validation"):
        netlink.create_link("a-name-that-is-too-long", "bridge")


@isolated
def test_attributes_that_nobody_knows_are_refused() -> None:
    netlink = door()
    netlink.create_link("br0", "bridge")
    with pytest.raises(StepFailed, match="IFLA_BR_VLAN_FILTERIN is not an attribute"):
        netlink.set_data("br0", "bridge", br_vlan_filterin=1)
    with pytest.raises(StepFailed, match="no attributes that are known"):
        netlink.create_link("x", "nosuchkind", data={"a": 1})
    assert netlink.link("x") is None


@isolated
def test_lo_is_not_ours() -> None:
    netlink = door()
    with pytest.raises(Refused, match="lo belongs to the kernel"):
        netlink.set_link("lo", up=True)
    with pytest.raises(Refused):
        netlink.delete_link("lo")
    assert netlink.writes.total == 0


@isolated
def test_a_lost_socket_is_replaced() -> None:
    netlink = door()
    assert "lo" in netlink.observe()["links"]
    broken = netlink._transport._socket
    assert broken is not None
    broken.detach()  # as if the descriptor had been closed under us
    with pytest.raises(Unreachable, match="netlink is unreachable"):
        netlink.observe()
    assert "lo" in netlink.observe()["links"]


@isolated
def test_several_threads_use_one_door() -> None:
    netlink = door()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                netlink.create_link(f"br{number}-{turn}", "bridge")
                netlink.set_alias(f"br{number}-{turn}", f"{number}/{turn}")
                assert netlink.observe()["links"][f"br{number}-{turn}"].alias == f"{number}/{turn}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(netlink.observe()["links"]) == 41


@isolated
def test_an_unchanged_host_is_observed_the_same_twice() -> None:
    ip("link add eno1 type veth peer name sw1")
    netlink = door()
    netlink.create_link("br0", "bridge")
    netlink.set_link("eno1", master="br0", up=True)
    netlink.set_link("sw1", up=True)
    netlink.set_link("br0", up=True)
    netlink.add_address("br0", "10.0.0.1/24")
    first = netlink.observe()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as traffic:
        for _ in range(20):
            traffic.sendto(b"x", ("10.0.0.2", 9))
    assert netlink.observe() == first


@isolated
def test_events_name_the_link_and_its_old_and_new_master() -> None:
    events, netlink = LinkEvents(), door()
    assert events.read() == set()
    netlink.create_link("br0", "bridge")
    netlink.create_link("br1", "bridge")
    ip("link add eno1 type veth peer name sw1")
    netlink.set_link("eno1", master="br0")
    assert events.read() == {"br0", "br1", "eno1", "sw1"}
    netlink.set_link("eno1", master="br1")
    assert events.read() == {"eno1", "br0", "br1"}
    netlink.set_link("eno1", master=None)
    assert events.read() == {"eno1", "br1"}
    netlink.add_address("br0", "10.0.0.1/24")
    assert events.read() == {"br0"}
    netlink.delete_link("br0")
    assert select.select([events], [], [], 1)[0]
    assert events.read() == {"br0"}


@isolated
def test_lost_events_are_told_and_then_it_goes_on() -> None:
    events, netlink = LinkEvents(), door()
    events._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    netlink.create_link("br0", "bridge")
    for turn in range(200):
        netlink.set_link("br0", mtu=1000 + turn)
    assert events.read() is None
    netlink.set_link("br0", mtu=1400)
    assert events.read() == {"br0"}
