"""Who looks on while something is changed: at the links, by the kernel's events, and from outside, by packets."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

from cell_reconciler.drivers.netlink.events import RCVBUF, RTM_DELLINK, RTM_NEWLINK, SO_RCVBUFFORCE
from cell_reconciler.drivers.netlink.facts import IFF_LOWER_UP, IFF_UP
from cell_reconciler.drivers.netlink.raw import IFINFO, IFLA_IFNAME, text
from cell_reconciler.drivers.netlink.transport import HEADER, RECEIVE_BYTES, attributes, messages
from tests.spaces import Space

RTMGRP_LINK = 0x1
QUIET = 0.3  # seconds without an event after which there will be none: a bond looks at its members each 0.1 s
INTERVAL = 0.02  # seconds between two packets
PATIENCE = 5.0  # seconds for an answer, on a machine that is emulated and busy
ECHO_REPLY, ECHO_REQUEST = 0, 8  # ICMP types of RFC 792
_ICMP = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence


@contextlib.contextmanager
def stable(*names: str) -> Iterator[None]:
    """Inside of it these links are neither down nor without a carrier, nor deleted: not for one event."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.setsockopt(
            socket.SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF
        )  # it all waits in the socket, so no thread is needed
        events.bind((0, RTMGRP_LINK))
        yield
        seen = list(_seen(events))
    fallen = [(name, what) for name, what in seen if name in names and what]
    assert not fallen, fallen


def _seen(events: socket.socket) -> Iterator[tuple[str, str]]:
    """Name of the link and what is wrong with it (empty: nothing), event by event."""
    while select.select([events], [], [], QUIET)[0]:
        for kind, _, _, message in messages(events.recv(RECEIVE_BYTES)):
            if kind not in (RTM_NEWLINK, RTM_DELLINK):
                continue
            family, _, _, flags, _ = IFINFO.unpack_from(message, HEADER.size)
            name = text(dict(attributes(message, HEADER.size + IFINFO.size))[IFLA_IFNAME])
            if family != socket.AF_UNSPEC:
                continue  # a bridge's event about its port: RTM_DELLINK is said of one that leaves
            if kind == RTM_DELLINK:
                yield name, "deleted"
            elif not flags & IFF_UP:
                yield name, "down"
            else:
                yield name, "" if flags & IFF_LOWER_UP else "without a carrier"


def switch(*nics: str, address: str = "10.0.0.50/24") -> Space:
    """NICs of these names here, each with its cable in one switch, which has an address."""
    first, *others = nics
    space = Space(first, nic=f"p-{first}")
    space.run("link add switch type bridge")
    for nic in others:
        space.run(f"link add p-{nic} type veth peer name {nic} netns /proc/{os.getpid()}/ns/net")
    for nic in nics:
        space.run(f"link set p-{nic} master switch up")
    space.run("link set switch up")
    space.run(f"addr add {address} dev switch")
    return space


class Pings:
    """ICMP echo from a namespace, each with its number, so that it is known which one was lost."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._open: set[int] = set()  # numbers of those without an answer
        self._stop = threading.Event()
        self._answered = threading.Event()
        self._first = 1
        self.sent = 0  # in all; they are numbered from 1
        self.lost: list[int] = []

    def run(self) -> None:
        """Until ``end``; to be called in the namespace."""
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as line:
            line.connect((self._target, 0))
            while not self._stop.is_set():
                self.sent += 1
                self._open.add(self.sent)
                with contextlib.suppress(OSError):  # no way there at this moment: lost
                    line.send(_request(self.sent))
                self._listen(line, INTERVAL)
            deadline = time.monotonic() + PATIENCE
            while self._open and time.monotonic() < deadline:
                self._listen(line, 0.1)
        self.lost = sorted(number for number in self._open if number >= self._first)

    def _listen(self, line: socket.socket, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and select.select([line], [], [], left)[0]:
            packet = line.recv(1500)
            kind, _, _, identifier, number = _ICMP.unpack_from(packet, (packet[0] & 0xF) * 4)
            if kind == ECHO_REPLY and identifier == _identifier():
                self._open.discard(number)
                self._answered.set()

    def wait_for_answer(self) -> None:
        assert self._answered.wait(PATIENCE), f"{self._target} does not answer, before anything was changed"
        self._first = self.sent + 1  # what was lost while the switch learned does not count

    def end(self) -> None:
        self._stop.set()


@contextlib.contextmanager
def no_loss(space: Space, target: str) -> Iterator[Pings]:
    """Inside of it ``target`` answers every packet from ``space``, 50 a second."""
    pings = Pings(target)
    thread = threading.Thread(target=lambda: space.inside(pings.run))
    thread.start()
    try:
        pings.wait_for_answer()
        yield pings
        time.sleep(5 * INTERVAL)  # what comes after the change counts too
    finally:
        pings.end()
        thread.join()
    assert not pings.lost, f"{len(pings.lost)} of {pings.sent} packets were lost: {pings.lost[:20]}"


def _identifier() -> int:
    return os.getpid() & 0xFFFF


def _request(number: int) -> bytes:
    """An echo request with its checksum (RFC 1071)."""
    words = [ECHO_REQUEST << 8, _identifier(), number]
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return _ICMP.pack(ECHO_REQUEST, 0, ~total & 0xFFFF, _identifier(), number)
