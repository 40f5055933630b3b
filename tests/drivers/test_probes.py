"""Probes against a real neighbour: the other end of a veth pair, in a network namespace of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.gateways import Gateway, default_gateways
from cell_reconciler.drivers.netlink.way import way_to
from cell_reconciler.drivers.probe_icmp import checksum
from cell_reconciler.drivers.probes import Arp, Lacp, Ping, Probe, Tcp, answering, gateway_probes
from tests.network import ip, isolated

SERVER = "import socket, time; s = socket.create_server(('10.9.0.1', 7777)); time.sleep(600)"


@contextmanager
def neighbour() -> Iterator[list[str]]:
    """10.9.0.1 and fd09::1 beyond eno1; yields the words that run a command there."""
    process = subprocess.Popen(["unshare", "-n", "sleep", "600"])
    there = ["nsenter", "-t", str(process.pid), "-n"]
    try:
        ours = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
            time.sleep(0.01)
        ip("link set lo up")
        ip(f"link add eno1 type veth peer name eno1 netns {process.pid}")
        ip("address add 10.9.0.2/24 dev eno1")
        ip("address add fd09::2/64 dev eno1 nodad")
        ip("link set eno1 up")
        for words in ("link set lo up", "address add 10.9.0.1/24 dev eno1", "address add fd09::1/64 dev eno1 nodad"):
            subprocess.run([*there, "ip", *words.split()], check=True)
        subprocess.run([*there, "ip", "link", "set", "eno1", "up"], check=True)
        yield there
    finally:
        process.kill()
        process.wait()


def passing(*probes: Probe, tries: int = 3) -> list[str]:
    return [probe.name for probe in answering(probes, Doors().netlink, tries)]


@isolated
def test_each_kind_of_probe() -> None:
    with neighbour() as there:
        server = subprocess.Popen([*there, sys.executable, "-c", SERVER])
        good: list[Probe] = [
            Ping(name="ping", address="10.9.0.1"),
            Ping(name="ping6", address="fd09::1"),
            Arp(name="arp", address="10.9.0.1"),
            Arp(name="arp on eno1", address="10.9.0.1", interface="eno1"),
            Arp(name="nd", address="fd09::1"),
            Tcp(name="tcp", address="10.9.0.1", port=7777),
        ]
        bad: list[Probe] = [
            Ping(name="no ping", address="10.9.0.9"),
            Ping(name="no ping6", address="fd09::9"),
            Arp(name="no arp", address="10.9.0.9"),
            Arp(name="no nd", address="fd09::9"),
            Arp(name="no interface", address="10.9.0.1", interface="eno9"),
            Tcp(name="no tcp", address="10.9.0.1", port=7778),
            Ping(name="no route", address="10.99.0.1"),
            Lacp(name="no bond", bond="bond0"),
        ]
        try:
            deadline = time.monotonic() + 10
            while not passing(good[-1]):
                assert time.monotonic() < deadline
            assert passing(*good, *bad) == [probe.name for probe in good]
            assert passing(Lacp(name="not needed", bond="bond0", needed=False)) == ["not needed"]
        finally:
            server.kill()
            server.wait()


@isolated
def test_silent_targets_are_asked_side_by_side() -> None:
    with neighbour():
        silent = [Ping(name=str(n), address=f"10.9.0.{n}") for n in range(100, 112)]
        silent += [Arp(name=str(n), address=f"10.9.0.{n}") for n in range(100, 104)]  # type: ignore[misc]  # both are probes
        started = time.monotonic()
        assert passing(*silent, tries=1) == []
        assert time.monotonic() - started < 3


@isolated
def test_default_gateways_of_both_families() -> None:
    with neighbour() as there:
        ip("route add default via 10.9.0.1 dev eno1")
        link_local = subprocess.run(
            [*there, "ip", "-6", "-o", "address", "show", "dev", "eno1", "scope", "link"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[3].partition("/")[0]  # fmt: skip
        ip(f"-6 route add default via {link_local} dev eno1")
        assert default_gateways() == (Gateway("10.9.0.1", "eno1"), Gateway(link_local, "eno1"))
        deadline = time.monotonic() + 10  # until both ends have finished duplicate address detection
        while len(passing(*gateway_probes())) < 4:
            assert time.monotonic() < deadline, passing(*gateway_probes())
        assert {probe.link(Doors().netlink) for probe in gateway_probes()} == {"eno1"}
        subprocess.run([*there, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"], check=True)
        assert "gateway 10.9.0.1 (ARP)" in passing(*gateway_probes())
        assert "gateway 10.9.0.1" not in passing(*gateway_probes())


@isolated
def test_the_way_to_an_address() -> None:
    assert way_to("10.9.0.1") is None
    with neighbour():
        assert way_to("10.9.0.1") == "eno1"
        assert way_to("fd09::1") == "eno1"
        assert way_to("10.9.0.2") is None, "it is our own"
        assert way_to("10.99.0.1") is None


def test_gateways_as_the_kernel_writes_them(tmp_path: Path) -> None:
    four = tmp_path / "route"
    four.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "br-MGMT\t00000000\t0100090A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "br-MGMT\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
    )
    six = tmp_path / "ipv6_route"
    zero = "0" * 32
    six.write_text(
        f"{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 br-MGMT\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
    )
    found = default_gateways(str(four), str(six))
    assert found == (Gateway("10.9.0.1", "br-MGMT"), Gateway("fe80::1", "br-MGMT"))
    assert default_gateways(str(tmp_path / "none"), str(tmp_path / "none")) == ()


@pytest.mark.parametrize(
    ("data", "want"),
    [("0001f203f4f5f6f7", 0x220D), ("0000", 0xFFFF), ("ffffffff", 0)],
    ids=["RFC 1071", "zero", "ones"],
)
def test_checksum(data: str, want: int) -> None:
    assert checksum(bytes.fromhex(data)) == want
