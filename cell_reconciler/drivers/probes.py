"""Asks whether the host can still be reached: ICMP echo, TCP connect, ARP or neighbour discovery, LACP partner.

Everything is asked side by side, each with a deadline of its own, so that ten silent targets cost as much as one.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeAlias

import msgspec

from cell_reconciler.drivers import gateways
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.drivers.netlink.way import way_to
from cell_reconciler.drivers.probe_icmp import echo
from cell_reconciler.drivers.probe_neighbour import neighbour
from cell_reconciler.errors import CellError

ROUND = 1.0  # seconds within which a target has to answer once
LACP_MODE, NO_PARTNER = "802.3ad", "00:00:00:00:00:00"
_PARALLEL = 16


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """Passes when the address answers an ICMP echo request."""

    kind: ClassVar[str] = "ping"
    name: str
    address: str

    def ask(self, door: NetlinkDoor, timeout: float) -> bool:
        return echo(self.address, gateways.scope(self.address), timeout)

    def link(self, door: NetlinkDoor) -> str | None:
        """The link by which the target is reached now; None when it cannot be told."""
        return _way(self.address)


class Tcp(msgspec.Struct, frozen=True, kw_only=True):
    """Passes when a TCP connection can be opened."""

    kind: ClassVar[str] = "tcp"
    name: str
    address: str
    port: int

    def ask(self, door: NetlinkDoor, timeout: float) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=timeout):
                return True
        except OSError:
            return False

    def link(self, door: NetlinkDoor) -> str | None:
        return _way(self.address)


class Arp(msgspec.Struct, frozen=True, kw_only=True):
    """Passes when the address answers on its own network: ARP (RFC 826), for IPv6 neighbour discovery (RFC 4861).

    That says more than a ping that is lost: many gateways drop ICMP. ``interface``: the link to ask on; without it
    the one by which the address is reached now, which a change may move.
    """

    kind: ClassVar[str] = "arp"
    name: str
    address: str
    interface: str | None = None

    def ask(self, door: NetlinkDoor, timeout: float) -> bool:
        name = self.link(door)
        link = door.link(name) if name else None
        return link is not None and neighbour(self.address, link, timeout)

    def link(self, door: NetlinkDoor) -> str | None:
        return self.interface or _way(self.address)


class Lacp(msgspec.Struct, frozen=True, kw_only=True):
    """Passes when a bond in mode 802.3ad and a partner agreed on a member: before, it has a carrier and goes nowhere.

    ``needed`` False: it also passes once the bond is in another mode or gone, as the change may want it.
    """

    kind: ClassVar[str] = "lacp"
    name: str
    bond: str
    needed: bool = True

    def ask(self, door: NetlinkDoor, timeout: float) -> bool:
        link = door.link(self.bond)
        if link is None or link.data.get("bond_mode") != LACP_MODE:
            return not self.needed
        partner = str(link.data.get("bond_ad_info", {}).get("bond_ad_info_partner_mac", NO_PARTNER))
        if partner == NO_PARTNER:
            return False
        return any(port.up and port.carrier and port.lacp_agreed for port in door.ports(self.bond))

    def link(self, door: NetlinkDoor) -> str | None:
        return self.bond


Probe: TypeAlias = Ping | Tcp | Arp | Lacp


def gateway_probes() -> tuple[Probe, ...]:
    """Each default gateway twice: one that answers ARP but drops ICMP proves the path as well."""
    found = gateways.default_gateways()
    return tuple(
        probe
        for address in dict.fromkeys(gateway.address for gateway in found)
        for probe in (
            Ping(name=f"gateway {address}", address=address),
            Arp(name=f"gateway {address} (ARP)", address=address),
        )
    )


def answering(probes: Sequence[Probe], door: NetlinkDoor, tries: int = 1) -> tuple[Probe, ...]:
    """Those that pass, asked side by side; ``tries`` rounds, since one lost packet proves nothing."""
    passed: set[Probe] = set()
    for _ in range(tries):
        left = [probe for probe in probes if probe not in passed]
        if not left:
            break
        started = time.monotonic()
        with ThreadPoolExecutor(max_workers=_PARALLEL, thread_name_prefix="probe") as pool:
            answers = pool.map(lambda probe: _passes(probe, door), left)
            passed |= {probe for probe, answer in zip(left, answers, strict=True) if answer}
        if len(passed) < len(probes):
            time.sleep(max(0.0, 0.2 - (time.monotonic() - started)))
    return tuple(probe for probe in probes if probe in passed)


def _passes(probe: Probe, door: NetlinkDoor) -> bool:
    """A probe that cannot even be asked (no such link, no route, no privilege) does not pass."""
    with contextlib.suppress(OSError, CellError):
        return probe.ask(door, ROUND)
    return False


def _way(address: str) -> str | None:
    return gateways.scope(address) or way_to(address)
