"""Asks whether the host can still be reached: ICMP echo and TCP connect, each with a deadline."""

from __future__ import annotations

import socket
import subprocess

import msgspec

from cell_reconciler.errors import CellError


class ProbeTarget(msgspec.Struct, frozen=True, kw_only=True):
    """``port`` 0: ICMP echo by ``ping`` (iputils); otherwise a TCP connection to that port."""

    name: str
    address: str
    port: int = 0


def passes(probe: ProbeTarget, timeout: float = 1.0) -> bool:
    """True when the target answered within ``timeout`` seconds. Raises CellError when ping is not installed."""
    if probe.port:
        try:
            with socket.create_connection((probe.address, probe.port), timeout=timeout):
                return True
        except OSError:
            return False
    argv = ["ping", "-n", "-q", "-c", "1", "-W", str(max(1, round(timeout))), "--", probe.address]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=timeout + 2, check=False)
    except FileNotFoundError as error:
        raise CellError("ping is not installed", "apt install iputils-ping, or use a tcp probe") from error
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def default_gateways(route_table: str = "/proc/net/route") -> tuple[ProbeTarget, ...]:
    """The IPv4 default gateways of the main table, as probes (kernel format: little-endian hex words)."""
    found = []
    try:
        with open(route_table, encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return ()
    for row in rows:
        destination, gateway, flags, mask = row[1], row[2], int(row[3], 16), row[7]
        if destination == mask == "00000000" and flags & 0x2:  # RTF_GATEWAY
            address = socket.inet_ntoa(bytes.fromhex(gateway)[::-1])
            found.append(ProbeTarget(name=f"gateway {address}", address=address))
    return tuple(found)
