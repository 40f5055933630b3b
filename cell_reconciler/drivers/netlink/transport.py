"""One netlink socket for requests: sends a message, collects the answer, tells the kernel's errors in its words.

Constants are those of the kernel's uapi headers netlink.h and rtnetlink.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_DUMP_INTR = 0x10
NLM_F_ACK_TLVS = 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLMSGERR_ATTR_MSG = 1
SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTR = struct.Struct("=HH")  # struct nlattr: length, type
NLA_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
SIOCGIFNAME, SIOCGIFINDEX = 0x8910, 0x8933  # linux/sockios.h
IFNAMSIZ = 16  # with the byte that ends it
_IFREQ = struct.Struct("=16si20x")  # struct ifreq: name, index
RECEIVE_BYTES = 1 << 18  # the kernel fills at most 32 KiB of a dump at a time


class KernelError(Exception):
    """The kernel refused a request: ``errno`` and its extended-ack text (empty when it gave none)."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text or os.strerror(errno))
        self.errno = errno


class Interrupted(Exception):
    """What was dumped changed meanwhile (NLM_F_DUMP_INTR): the dump is not consistent."""


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Split what was received: type, flags, sequence and the whole message, header included."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield kind, flags, sequence, data[offset : offset + length]
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The attributes of a message from ``offset`` on: type and payload."""
    end = len(data) - _ATTR.size
    while offset <= end:
        length, kind = _ATTR.unpack_from(data, offset)
        if length < _ATTR.size:
            return
        yield kind & NLA_TYPE_MASK, data[offset + _ATTR.size : offset + length]
        offset += (length + 3) & ~3


class Transport:
    """A request socket, opened when first needed and again after any failure. Safe to use from several threads.

    Errors: ``KernelError`` (the request was refused), ``Interrupted`` (repeat the dump), ``OSError`` (the socket
    failed or did not answer within ``timeout`` seconds; it has been closed).
    """

    def __init__(self, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._sequence = 0

    def close(self) -> None:
        with self._lock:
            self._drop()

    def request(self, payload: bytes, kind: int, flags: int = 0) -> list[bytes]:
        """Send one request and wait for its acknowledgement; returns what came before it."""
        return self._exchange(payload, kind, flags | NLM_F_REQUEST | NLM_F_ACK)

    def ask(self, payload: bytes, kind: int) -> list[bytes]:
        """Ask for one object: its message is the answer, and no acknowledgement comes after it."""
        return self._exchange(payload, kind, NLM_F_REQUEST, one=True)

    def index_of(self, name: str) -> int | None:
        """The index of a link by its name proper: the kernel would also take alternative names."""
        found = self._ioctl(SIOCGIFINDEX, _IFREQ.pack(name.encode(), 0)) if len(name.encode()) < IFNAMSIZ else None
        index = None if found is None else int(_IFREQ.unpack(found)[1])
        return index if index is not None and self.name_of(index) == name else None

    def name_of(self, index: int) -> str | None:
        """The name of a link in the network namespace of this socket."""
        found = self._ioctl(SIOCGIFNAME, _IFREQ.pack(b"", index))
        return None if found is None else _IFREQ.unpack(found)[0].rstrip(b"\0").decode(errors="replace")

    def dump(self, payload: bytes, kind: int) -> list[bytes]:
        """All objects of a kind. Raises Interrupted when the kernel says that the answer is inconsistent."""
        return self._exchange(payload, kind, NLM_F_REQUEST | NLM_F_DUMP)

    def _ioctl(self, request: int, argument: bytes) -> bytes | None:
        """What the kernel answers by struct ifreq, one system call instead of three; None: there is no such link."""
        with self._lock:
            try:
                return fcntl.ioctl(self._open(), request, argument)
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.ENXIO):
                    return None
                raise

    def _exchange(self, payload: bytes, kind: int, flags: int, *, one: bool = False) -> list[bytes]:
        with self._lock:
            try:
                self._sequence = (self._sequence + 1) & 0xFFFFFFFF
                head = HEADER.pack(HEADER.size + len(payload), kind, flags, self._sequence, 0)
                sock = self._open()
                sock.send(head + payload)
                return self._answer(sock, self._sequence, one)
            except (OSError, Interrupted):
                # Answers of this request may still arrive: a new socket is the only one that is surely empty.
                self._drop()
                raise

    def _answer(self, sock: socket.socket, sequence: int, one: bool) -> list[bytes]:
        found: list[bytes] = []
        interrupted = False
        while True:
            try:
                data = sock.recv(RECEIVE_BYTES)
            except BlockingIOError as error:  # SO_RCVTIMEO
                raise TimeoutError("timed out") from error
            for kind, flags, number, message in messages(data):
                if number != sequence:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_ERROR:
                    _raise_error(message, flags)
                    return found
                if kind != NLMSG_DONE:
                    found.append(message)
                    if one:
                        return found
                    continue
                if interrupted:
                    raise Interrupted
                return found

    def _open(self) -> socket.socket:
        if self._socket is None:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            # Not ``settimeout``, which makes two system calls of each.
            limit = struct.pack("@ll", int(self._timeout), int(self._timeout % 1 * 1e6))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
                sock.setsockopt(SOL_NETLINK, option, 1)
            sock.bind((0, 0))
            self._socket = sock
        return self._socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _raise_error(message: bytes, flags: int) -> None:
    """struct nlmsgerr: the error and the header of the request; with ACK_TLVS, attributes after it."""
    (code,) = struct.unpack_from("=i", message, HEADER.size)
    if code == 0:
        return
    text = ""
    if flags & NLM_F_ACK_TLVS:
        for kind, value in attributes(message, HEADER.size + 4 + HEADER.size):
            if kind == NLMSGERR_ATTR_MSG:
                text = value.rstrip(b"\0").decode(errors="replace")
    raise KernelError(-code, text)
