"""Every option of a bridge on a kernel that has them all: what is declared is read back, and said by ``ip`` too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds.bridge import options
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from tests.network import NetworkHost, document, ip, isolated, ops, problems

pytestmark = pytest.mark.kernel
UNUSUAL: dict[str, Any] = {
    "stp": True,
    "forwardDelay": "4s",
    "helloTime": "1s",
    "maxAge": "6s",
    "priority": 4096,
    "ageingTime": "60s",
    "multicastSnooping": False,
    "multicastQuerier": True,
    "groupForwardMask": 0x4008,
    "vlanFiltering": True,
    "vlanDefaultPvid": 7,
    "vlanProtocol": "802.1ad",
}
SAID = {
    "stp_state": 1,
    "forward_delay": 400,
    "hello_time": 100,
    "max_age": 600,
    "priority": 4096,
    "ageing_time": 6000,
    "mcast_snooping": 0,
    "mcast_querier": 1,
    "group_fwd_mask": "0x4008",
    "vlan_filtering": 1,
    "vlan_default_pvid": 7,
    "vlan_protocol": "802.1ad",
}


def said(*names: str) -> dict[str, Any]:
    """What ``ip -d`` tells of br0."""
    (link,) = json.loads(ip("-d -j link show dev br0"))
    return {name: link["linkinfo"]["info_data"][name] for name in names}


@isolated
def test_all_at_once_and_back() -> None:
    host = NetworkHost()
    host.converge(document("Bridge/br0"))
    usual = said(*SAID)
    index = host.link("br0").index
    host.converge(document("Bridge/br0", UNUSUAL))
    assert said(*SAID) == SAID
    host.converge(document("Bridge/br0"))
    assert said(*SAID) == usual
    assert host.link("br0").index == index
    ip("link del br0")
    host.converge(document("Bridge/br0", UNUSUAL))
    assert said(*SAID) == SAID


@isolated
def test_the_defaults_are_those_of_this_kernel() -> None:
    ip("link add br0 type bridge")
    found = NetworkHost().link("br0").data
    assert options.kernel(BridgeSpec(), options.FIELDS) == {
        f.extra["netlink"]: found[f.extra["netlink"]] for f in options.FIELDS.values()
    }


@pytest.mark.parametrize("name", UNUSUAL)
@isolated
def test_each_option_alone_and_by_hand(name: str) -> None:
    host = NetworkHost()
    spec = {"stp": True, "forwardDelay": "20s", "maxAge": "10s"} if name == "stp" else {name: UNUSUAL[name]}
    before = document("Bridge/br0", {"priority": 100})
    host.converge(before)
    host.converge(document("Bridge/br0", {"priority": 100, **spec}))
    option = options.FIELDS[options.BY_YAML[name]].extra["netlink"]
    wanted = host.link("br0").data[option]
    # Somebody else sets it to the default: that is put right.
    usual = options.kernel(BridgeSpec(), [options.BY_YAML[name]])
    host.doors.netlink.set_data("br0", "bridge", **usual)
    assert host.link("br0").data[option] != wanted
    host.converge(document("Bridge/br0", {"priority": 100, **spec}))
    assert host.link("br0").data[option] == wanted


@isolated
def test_times_that_the_kernel_rounds_are_no_difference_for_ever() -> None:
    host = NetworkHost()
    for millis in (0, 10, 20, 30, 70, 2010, 2030, 14990, 15000):
        host.converge(document("Bridge/br0", {"ageingTime": f"{millis}ms"}))


BORDERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *[({"stp": stp, "forwardDelay": f"{ms}ms"}, {"br_stp_state": int(stp), "br_forward_delay": ms // 10})
      for stp in (True, False) for ms in (0, 1990, 2000, 30000, 30010)],
    *[({"helloTime": f"{ms}ms"}, {"br_hello_time": ms // 10}) for ms in (990, 1000, 10000, 10010)],
    *[({"maxAge": f"{ms}ms"}, {"br_max_age": ms // 10}) for ms in (5990, 6000, 40000, 40010)],
    *[({"groupForwardMask": mask}, {"br_group_fwd_mask": mask}) for mask in (1, 2, 4, 7, 8, 0x4000, 65528, 65535)],
]  # fmt: skip


@isolated
def test_what_the_rules_accept_the_kernel_accepts_and_the_reverse() -> None:
    """But for a delay of 0 with STP, which the kernel raises to 2 s when STP goes on, and refuses afterwards."""
    host = NetworkHost()
    for spec, data in BORDERS:
        host.converge(document("Bridge/br0", {"stp": bool(data.get("br_stp_state"))}))
        try:
            host.doors.netlink.set_data("br0", "bridge", **data)
            accepted = True
        except StepFailed:
            accepted = False
        refused = bool(problems(document("Bridge/br0", spec)) - {"stp-times"})
        assert accepted != refused, spec
        host.doors.netlink.delete_link("br0")


@isolated
def test_of_an_adopted_bridge_the_rest_stays() -> None:
    ip("link add br0 type bridge ageing_time 100 priority 7 mcast_snooping 0 forward_delay 0")
    host = NetworkHost()
    host.converge(document("Bridge/br0", {"priority": 8}, adopt=True))
    assert said("ageing_time", "priority", "mcast_snooping", "forward_delay") == {
        "ageing_time": 100,
        "priority": 8,
        "mcast_snooping": 0,
        "forward_delay": 0,
    }


@isolated
def test_an_access_bridge_is_two_steps_and_has_no_address() -> None:
    ip("link add eno1 type dummy")
    ip("link set eno1 mtu 9000 up")
    host = NetworkHost()
    doc = document("Bridge/br.5", {"uplink": "eno1", "vlan": 5, "mtu": 9000})
    before = host.doors.writes.total
    plan = host.converge(doc)
    assert ops(plan) == ["bridge.create", "bridge.vlan.create"]
    # Made, IPv6 off, and the rest in one: three calls for each of the two links.
    assert host.doors.writes.total - before == 6
    for name in ("br.5", "eno1.5"):
        assert "inet6" not in ip(f"addr show dev {name}")
    made = host.link("eno1.5")
    assert (made.master, made.parent, made.mtu, made.up) == ("br.5", "eno1", 9000, True)


@isolated
def test_an_access_bridge_survives_a_crash_after_any_call() -> None:
    ip("link add eno1 type dummy")
    ip("link set eno1 up")
    host = NetworkHost()
    doc = document("Bridge/br.5", {"uplink": "eno1", "vlan": 5, "mtu": 1400})
    for allowed in range(6):
        calls = _dies_after(host, allowed)
        with pytest.raises(KeyboardInterrupt):
            host.apply(doc)
        calls.undo()
        host.converge(doc)
        facts = [(x.master, x.mtu, x.up, x.ipv6_disabled) for x in map(host.link, ("br.5", "eno1.5"))]
        assert facts == [(None, 1400, True, True), ("br.5", 1400, True, True)], allowed
        ip("tuntap add vnet0 mode tap")
        ip("link set vnet0 mtu 1000 master br.5")
        assert host.link("br.5").mtu == 1400, f"pinned, after {allowed}"
        for name in ("vnet0", "eno1.5", "br.5"):
            ip(f"link del {name}")


class _dies_after:
    """The process is killed before the call after ``allowed`` writing ones."""

    def __init__(self, host: NetworkHost, allowed: int) -> None:
        self._writes, self._add, self._left = host.doors.writes, host.doors.writes.add, allowed
        host.doors.writes.add = self._count  # type: ignore[method-assign]

    def _count(self, call: str) -> None:
        if self._left == 0:
            raise KeyboardInterrupt(call)
        self._left -= 1
        self._add(call)

    def undo(self) -> None:
        self._writes.add = self._add  # type: ignore[method-assign]


def test_every_option_is_in_the_table_above() -> None:
    assert set(UNUSUAL) == set(options.BY_YAML)
    assert all(getattr(BridgeSpec(), n) != getattr(document("Bridge/b", UNUSUAL).spec, n) for n in options.FIELDS)
