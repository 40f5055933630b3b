"""Who looks on while something is changed: at the links, by the kernel's events, and from outside, by packets."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

from cell_reconciler.drivers.netlink.events import RCVBUF, RTM_DELLINK, RTM_NEWLINK, SO_RCVBUFFORCE
from cell_reconciler.drivers.netlink.raw import IFF_LOWER_UP, IFF_UP, IFINFO, IFLA_IFNAME, text
from cell_reconciler.drivers.netlink.transport import HEADER, RECEIVE_BYTES, attributes, messages
from tests.spaces import Space

RTMGRP_LINK = 0x1
QUIET = 0.3  # seconds without an event after which there will be none: a bond looks at its members each 0.1 s
INTERVAL = 0.02  # seconds between two packets
PATIENCE = 10.0  # seconds for an answer, on a machine that is emulated and busy
ECHO_REPLY, ECHO_REQUEST = 0, 8  # ICMP types of RFC 792
ECHO_REPLY6, ECHO_REQUEST6 = 129, 128  # of RFC 4443
_IDENTIFIERS = itertools.count(os.getpid() & 0xFFF)  # each line its own: a raw socket hears the others' answers
_ICMP = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence


@contextlib.contextmanager
def stable(*names: str) -> Iterator[None]:
    """Inside of it these links are neither down nor without a carrier, nor deleted: not for one event."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        # All events wait in the socket, so no thread is needed.
        events.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF)
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


def soon(what: Callable[[], bool], seconds: float = 30) -> None:
    """Comes true within this time, on a machine that is emulated and busy."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


class Pings:
    """ICMP echo from a namespace, each with its number, so that it is known which one was lost."""

    def __init__(self, target: str, source: str = "") -> None:
        """``source``: the address to ask from."""
        self._target, self._source = target, source
        self._identifier = next(_IDENTIFIERS)
        self._six = ":" in target
        self._open: set[int] = set()  # numbers of those without an answer
        self._stop = threading.Event()
        self._answered = threading.Event()
        self._first = 1
        self.sent = 0  # in all; they are numbered from 1
        self.lost: list[int] = []

    def run(self) -> None:
        """Until ``end``; to be called in the namespace."""
        family, protocol = (
            (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self._six else (socket.AF_INET, socket.IPPROTO_ICMP)
        )
        with socket.socket(family, socket.SOCK_RAW, protocol) as line:
            if self._source:
                line.bind((self._source, 0))
            line.connect((self._target, 0))
            while not self._stop.is_set():
                self.sent += 1
                self._open.add(self.sent)
                with contextlib.suppress(OSError):  # no way there at this moment: lost
                    line.send(self._request())
                self._listen(line, INTERVAL)
            deadline = time.monotonic() + PATIENCE
            while self._open and time.monotonic() < deadline:
                self._listen(line, 0.1)
        self.lost = sorted(number for number in self._open if number >= self._first)

    def _listen(self, line: socket.socket, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and select.select([line], [], [], left)[0]:
            packet = line.recv(1500)
            header = 0 if self._six else (packet[0] & 0xF) * 4  # a raw socket of IPv6 shows none
            kind, _, _, identifier, number = _ICMP.unpack_from(packet, header)
            if kind == (ECHO_REPLY6 if self._six else ECHO_REPLY) and identifier == self._identifier:
                self._open.discard(number)
                self._answered.set()

    def _request(self) -> bytes:
        """An echo request with its checksum (RFC 1071; that of IPv6 is the kernel's business)."""
        kind = ECHO_REQUEST6 if self._six else ECHO_REQUEST
        total = (kind << 8) + self._identifier + (self.sent & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        return _ICMP.pack(kind, 0, ~total & 0xFFFF, self._identifier, self.sent & 0xFFFF)

    @property
    def counted(self) -> int:
        """How many were sent since the target was known to answer."""
        return self.sent - self._first + 1

    def wait_for_answer(self) -> None:
        assert self._answered.wait(PATIENCE), f"{self._target} does not answer, before anything was changed"
        self._first = self.sent + 1  # what was lost while the switch learned does not count

    def end(self) -> None:
        self._stop.set()


class PacketsLost(AssertionError):
    """Some were not answered; ``count`` of them."""

    def __init__(self, text: str, count: int) -> None:
        super().__init__(text)
        self.count = count


@contextlib.contextmanager
def no_loss(space: Space, target: str, source: str = "") -> Iterator[Pings]:
    """Inside of it ``target`` answers every packet from ``space``, 50 a second."""
    pings = Pings(target, source)
    thread = threading.Thread(target=lambda: space.inside(pings.run))
    thread.start()
    try:
        pings.wait_for_answer()
        yield pings
        time.sleep(10 * INTERVAL)  # what comes after the change counts too
    finally:
        pings.end()
        thread.join()
    assert pings.counted >= 5, "nothing was asked meanwhile"
    if pings.lost:
        text = f"{len(pings.lost)} of {pings.counted} packets to {target} were lost: {pings.lost[:20]}"
        raise PacketsLost(text, len(pings.lost))
