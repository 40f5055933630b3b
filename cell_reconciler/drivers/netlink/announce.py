"""Frames that tell a switch where an address is from now on.

A bond announces only its own addresses and those of VLANs on it when another member becomes active; the kernel does
not pass that on to bridges, where the addresses of a host are, so the switch would send to the old member until it
hears something from the new one. The frame is the one that QEMU sends after a migration: RARP, about itself, to all.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Collection, Iterator, Mapping

_RARP = 0x8035  # EtherType of RFC 903
_EVERYBODY = b"\xff" * 6
_REQUEST_REVERSE = 3
_BODY = struct.Struct("!HHBBH6s4s6s4s")
_SMALLEST = 60  # bytes of an Ethernet frame without its checksum


def frame(mac: str) -> bytes:
    """The announcement of one address."""
    own = bytes.fromhex(mac.replace(":", ""))
    body = _BODY.pack(1, 0x0800, 6, 4, _REQUEST_REVERSE, own, bytes(4), own, bytes(4))
    return (_EVERYBODY + own + struct.pack("!H", _RARP) + body).ljust(_SMALLEST, b"\0")


@contextlib.contextmanager
def ready(addresses: Mapping[str, Collection[str]]) -> Iterator[Callable[[], None]]:
    """What it yields sends the addresses by these links, at once. Best effort: by what is not up, nothing is sent."""
    frames = [(link, frame(mac)) for link, macs in addresses.items() for mac in macs]
    try:
        line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
    except OSError:  # not permitted: as without this module
        yield lambda: None
        return
    with line:

        def send() -> None:
            for link, one in frames:
                with contextlib.suppress(OSError):
                    line.sendto(one, (link, 0))

        yield send
