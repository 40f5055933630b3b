"""A host with an internal bridge between a neighbour and two guests, and who reaches whom by it.

Each case is a packet that passes on a Linux host as it is; the tests show that first, with our rules flushed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.world import build
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from tests import spaces
from tests.network import HOST as HOST_NAME
from tests.network import NetworkHost, document, ip
from tests.spaces import Space

DOCUMENT = document("Bridge/cloud0", {"mode": "internal", "addresses": ["169.254.0.1/16"]})
HOST, GUEST, OTHER, NEIGHBOUR = "169.254.0.1", "169.254.0.10", "169.254.0.11", "10.10.0.50"
MANAGEMENT, MANAGEMENT6 = "10.10.0.11", "fd00:10::11"
REFLECTED = 7778  # port on which the neighbour waits for what it never asked for


class Stage:
    """The topology: neighbour - eno1 - host - cloud0 - guest, other. The host forwards, as a router would."""

    def __init__(self) -> None:
        for switch, value in (("all/rp_filter", 0), ("default/rp_filter", 0), ("all/forwarding", 1)):
            Path("/proc/sys/net/ipv4/conf", switch).write_text(str(value))
        for name in ("iptables", "ip6tables"):  # a kernel may pass bridged packets through the chains for routed ones
            if (found := Path("/proc/sys/net/bridge", f"bridge-nf-call-{name}")).exists():
                found.write_text("0")
        spaces.without_dad()
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        ip("link set lo up")
        self.neighbour = Space("eno1")
        ip(f"addr add {MANAGEMENT}/24 dev eno1")
        ip(f"addr add {MANAGEMENT6}/64 dev eno1 nodad")
        self.neighbour.run(f"addr add {NEIGHBOUR}/24 dev eth0")
        self.neighbour.run("addr add fd00:10::50/64 dev eth0 nodad")
        self.neighbour.run(f"route add 169.254.0.0/16 via {MANAGEMENT}")
        self.host = NetworkHost()
        self.host.converge(DOCUMENT)
        self.guest, self.other = self._guest("veth-a", GUEST), self._guest("veth-b", OTHER)
        for space in (self.neighbour, self.guest, self.other):
            space.serve()
        spaces.serve()

    def _guest(self, plug: str, address: str) -> Space:
        space = Space(plug)
        ip(f"link set {plug} master cloud0")
        space.run(f"addr add {address}/16 dev eth0")
        space.run(f"route add default via {HOST}")
        space.run(f"route add default via {self.host_link_local()} dev eth0")
        return space

    def host_link_local(self) -> str:
        """The address that the kernel gave cloud0 by itself."""
        return next(a for a in ip("-6 -o addr show dev cloud0").split() if a.startswith("fe80")).partition("/")[0]

    def flush(self) -> None:
        """As `nft flush ruleset`, or a firewall that loads its own rules anew."""
        from nftables import Nftables

        assert Nftables().cmd("flush ruleset")[0] == 0

    @property
    def wanted(self) -> dict[str, Callable[[], bool]]:
        """What has to pass at any time."""
        return {
            "guest → host": lambda: self.guest.answers(HOST),
            "guest → host, IPv6": lambda: self.guest.answers(f"{self.host_link_local()}%eth0"),
            "host → guest": lambda: spaces.ask(GUEST),
            "host → itself": lambda: spaces.ask(HOST),
            "neighbour → host": lambda: self.neighbour.answers(MANAGEMENT),
        }

    @property
    def unwanted(self) -> dict[str, Callable[[], bool]]:
        """What passes without our rules and must not with them: routing, answers and the weak host model."""
        return {
            "neighbour → the host's address on cloud0": lambda: self.neighbour.answers(HOST),
            "neighbour → guest": lambda: self.neighbour.answers(GUEST),
            "guest → the host's other address": lambda: self.guest.answers(MANAGEMENT),
            "guest → the host's other address, IPv6": lambda: self.guest.answers(MANAGEMENT6),
            "guest → neighbour": lambda: self.guest.answers(NEIGHBOUR),
            "guest → neighbour by the host's answer": self._reflects,
        }

    @property
    def between(self) -> dict[str, Callable[[], bool]]:
        """What a kernel with nft_meta_bridge keeps apart, too."""
        return {
            "guest → guest": lambda: self.guest.answers(OTHER),
        }

    def _reflects(self) -> bool:
        """A datagram with the neighbour's address as its sender: the host answers the neighbour."""

        def listen() -> socket.socket:
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.settimeout(spaces.WAIT)
            server.bind((NEIGHBOUR, REFLECTED))
            return server

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.bind((NEIGHBOUR, REFLECTED))
                client.sendto(b"?", (HOST, spaces.PORT))

        server = self.neighbour.inside(listen)
        self.guest.run(f"addr replace {NEIGHBOUR}/32 dev lo")
        try:
            self.guest.inside(send)
            server.recvfrom(100)
        except TimeoutError:
            return False
        finally:
            server.close()
            self.guest.run(f"addr del {NEIGHBOUR}/32 dev lo")
        return True


def passing(cases: dict[str, Callable[[], bool]]) -> set[str]:
    """The names of the cases in which the packet arrives."""
    return {name for name, passes in cases.items() if passes()}


def condition(host: NetworkHost, doc: Document) -> Condition:
    """How well the bridge is isolated, as the document's conditions say."""
    world = build(HOST_NAME, {doc.key: doc}, host.live())
    of = kind("Bridge")
    found = of.conditions(doc, of.observe(doc.key.name, world), world)
    return next(c for c in found if c.type == "Isolated")
