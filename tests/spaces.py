"""Network namespaces as neighbours and guests of a host under test, and packets between them.

A namespace lives as long as its descriptor; what happens in it is done by a thread that enters it, so that a question
costs no process.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.network import CLONE_NEWNET, ip

PORT = 7777
WAIT = 0.5  # seconds for an answer inside one machine; what is dropped costs all of them


class Space:
    """A network namespace with one cable to the one that it is made in. ``answers`` asks from inside it."""

    def __init__(self, plug: str, nic: str = "eth0", mac: str | None = None) -> None:
        """``plug``: the end of the cable that stays here; ``nic``: the other one."""
        self._handle = _thread(_new_namespace)
        address = f" address {mac}" if mac else ""
        ip(f"link add name {plug} type veth peer name {nic}{address} netns /proc/{os.getpid()}/fd/{self._handle}")
        ip(f"link set {plug} up")
        self.nic = nic
        self.run(f"link set {nic} up")
        self.run("link set lo up")

    def inside(self, work: Callable[[], Any]) -> Any:
        """Do something inside; its result or its exception comes back."""

        def enter() -> Any:
            _libc("setns", self._handle, CLONE_NEWNET)
            return work()

        return _thread(enter)

    def run(self, command: str) -> str:
        """``ip(8)`` inside."""
        return str(self.inside(lambda: ip(command)))

    def answers(self, address: str, source: str = "") -> bool:
        """Does somebody answer a datagram to this address? ``source``: the address to send from."""
        return bool(self.inside(lambda: ask(address, source)))

    def serve(self) -> None:
        """Answer datagrams in here."""
        self.inside(serve)


def serve() -> None:
    """Answer each datagram to ``PORT``, on all addresses of this namespace, until the process ends."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", PORT))

    def loop() -> None:
        while True:
            data, sender = server.recvfrom(100)
            threading.Thread(target=_send, args=(server, data, sender), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def _send(server: socket.socket, data: bytes, sender: Any) -> None:
    try:
        server.sendto(data, sender)
    except OSError:  # no way back to that sender
        return


def ask(address: str, source: str = "") -> bool:
    """As ``Space.answers``, from this namespace."""
    family, _, _, _, target = socket.getaddrinfo(address, PORT, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(WAIT)
        if source:
            client.bind((source, 0))
        try:
            client.sendto(b"?", target)
            client.recvfrom(100)
        except OSError:  # a timeout is one
            return False
        return True


def without_dad() -> None:
    """IPv6 addresses count at once in this namespace, instead of a second after they were set."""
    for which in ("all", "default"):
        Path("/proc/sys/net/ipv6/conf", which, "accept_dad").write_text("0")


def _new_namespace() -> int:
    _libc("unshare", CLONE_NEWNET)
    without_dad()
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _libc(call: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), call)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), call)


def _thread(work: Callable[[], Any]) -> Any:
    result: list[Any] = [None, None]

    def run() -> None:
        try:
            result[0] = work()
        except BaseException as error:  # goes back to the caller
            result[1] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if result[1] is not None:
        raise result[1]
    return result[0]
