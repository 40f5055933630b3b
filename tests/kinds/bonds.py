"""Specs of bonds for tests: one value beside the default for every option, and any valid spec."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect as mi

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.kinds.bond import options
from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import Field
from cell_reconciler.model.live import Live
from tests.fakes.door import FakeNetlink
from tests.fakes.kernel import Kernel
from tests.network import HOST, NetworkHost, document, problems

MEMBERS = ("eno1", "eno2", "eno3")
# What cannot be drawn from the type alone.
_SOME: dict[str, list[Any]] = {
    "primary": list(MEMBERS),
    "active_slave": list(MEMBERS),
    "prio": [{"eno1": 5}, {"eno2": -5, "eno3": 0}],
    "queue_id": [{"eno1": 2}, {"eno2": 2, "eno1": 3}],
    "arp_ip_target": [["10.0.0.1"], ["10.0.0.2", "10.0.0.1"], []],
    "ns_ip6_target": [["fd00::1"], []],
    "ad_actor_system": ["02:00:00:00:00:09", "00:00:00:00:00:00"],
    "updelay": [0, 200, 400],
    "downdelay": [0, 200],
    "peer_notif_delay": [0, 400],
    "miimon": [50, 0, 100, 200],
    "arp_interval": [0, 500],
}
# What the document must say besides, so that the option alone is no problem.
BESIDE: dict[str, dict[str, Any]] = {
    "arp_interval": {"arpIpTarget": ["10.0.0.1"]},
    "arp_validate": {"arpInterval": 500, "arpIpTarget": ["10.0.0.1"]},
}


def values(field: Field) -> list[Any]:
    """Some values of an option, as a document has them."""
    if field.name in _SOME:
        return _SOME[field.name]
    kind = field.type
    if isinstance(kind, mi.LiteralType):
        return list(kind.values)
    if isinstance(kind, mi.BoolType):
        return [True, False]
    assert isinstance(kind, mi.IntType), field
    return [kind.ge, (kind.ge or 0) + 3, kind.le]


def another(field: Field) -> Any:
    """A value that an option does not have by itself."""
    return next(value for value in values(field) if value != field.extra["absent"])


@st.composite
def bonds(draw: st.DrawFn, name: str = "bond0") -> Document:
    """A valid document: what the rules object to is left out again, option by option."""
    members = draw(st.lists(st.sampled_from(MEMBERS), unique=True, min_size=1))
    spec: dict[str, Any] = {"members": members, "mode": draw(st.sampled_from([str(mode) for mode in BondMode]))}
    for option in draw(st.lists(st.sampled_from(list(options.FIELDS)), unique=True, max_size=8)):
        field = options.FIELDS[option]
        more = {**BESIDE.get(field.name, {}), field.yaml: draw(st.sampled_from(values(field)))}
        if not problems(document(f"Bond/{name}", {**spec, **more})) - {"min-links"}:
            spec |= more
    if draw(st.booleans()) and spec.get("failOverMac", "none") == "none":
        spec["mac"] = "02:00:00:00:00:42"
    return document(f"Bond/{name}", spec)


class MemoryHost(NetworkHost):
    """Three NICs on a kernel in memory."""

    def __init__(self) -> None:
        kernel, writes = Kernel(), Writes()
        for number, name in enumerate(MEMBERS, 1):
            kernel.nic(name, mac=f"52:54:00:00:00:0{number}")
        self.doors: Any = SimpleNamespace(netlink=FakeNetlink(kernel, writes), writes=writes)

    def live(self) -> Live:
        return Live(host=HOST, **self.doors.netlink.observe())
