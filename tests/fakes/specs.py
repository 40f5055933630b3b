"""Documents drawn from the declarations of the fields: what is declared tomorrow is drawn tomorrow.

Names, addresses and numbers that others have to meet (a member, an uplink, a VLAN) come from small pools, so that
documents and hosts have to do with each other; everything else is anything that the declaration allows. What breaks a
rule of ``check`` is left out, field by field, until the documents are valid together.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect as mi

from cell_reconciler.kinds import kind
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import Effect, Field, fields_of
from cell_reconciler.model.quantities import Duration, Mac
from tests.network import document

NICS = ("eno1", "eno2", "eno3", "eno4")
BONDS, BRIDGES, TAPS = ("bond0", "bond1"), ("br0", "br1"), ("vnet0", "vnet1")
VLANS = ("bond0.5", "eno1.5", "storage")
LINKS = (*NICS, *BONDS, *VLANS, *BRIDGES)
NAMES = {"Nic": NICS, "Bond": BONDS, "Vlan": VLANS, "Bridge": BRIDGES}
VIDS = (5, 6)
MACS = ("52:54:00:00:00:aa", "52:54:00:00:00:bb")
MTUS = (1280, 1400, 1500, 9000)
ADDRESSES = ("10.0.0.1/24", "10.0.0.2/24", "10.1.0.1/16", "fd00::1/64", "FD00:0::2/64")
ROUTES: tuple[dict[str, Any], ...] = (
    {"to": "default", "via": "10.0.0.254"},
    {"to": "default", "via": "10.0.0.253"},
    {"to": "default", "via": "fd00::fe"},
    {"to": "10.9.0.0/16", "via": "10.0.0.254", "metric": 50},
    {"to": "10.9.0.0/16", "via": "10.0.0.254", "table": 100},
    {"to": "10.8.0.0/16"},
    {"to": "10.7.0.0/16", "source": "10.0.0.1"},
    {"to": "fd01::/64", "via": "fd00::fe", "metric": 7},
    {"to": "10.6.0.0/16", "via": "192.0.2.1", "onLink": True, "mtu": 1400},
)
RULES: tuple[dict[str, Any], ...] = (
    {"from": "10.0.0.1", "table": 100, "priority": 1000},
    {"to": "10.9.0.0/16", "table": 100, "priority": 1001, "mark": 7},
    {"iif": "br0", "table": 100, "priority": 1002},
)
PORTS = (*NICS, *TAPS, "bond0", "bond0.5")
# What meets others, by kind and field or by field alone.
_POOLS: dict[str, st.SearchStrategy[Any]] = {
    "Bond.members": st.lists(st.sampled_from(NICS), unique=True, max_size=3),
    "Bond.primary": st.sampled_from(NICS),
    "Vlan.parent": st.sampled_from(("eno1", "eno2", "bond0", "bond1", "br0", "bond0.5")),
    "Vlan.id": st.sampled_from(VIDS),
    "Bridge.uplink": st.sampled_from((*NICS, *BONDS, "bond0.5", "storage")),
    "Bridge.vlan": st.sampled_from(VIDS),
    "mtu": st.sampled_from(MTUS),
    "mac": st.sampled_from(MACS),
    "addresses": st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=2),
    "routes": st.lists(st.sampled_from(ROUTES), unique_by=str, max_size=2),
    "rules": st.lists(st.sampled_from(RULES), unique_by=str, max_size=2),
    "arpIpTarget": st.lists(st.sampled_from(("10.0.0.7", "10.0.0.8")), unique=True),
    "nsIp6Target": st.lists(st.sampled_from(("fd00::7", "fd00::8")), unique=True),
    "activeSlave": st.sampled_from(NICS),
    "prio": st.dictionaries(st.sampled_from(NICS), st.integers(-1, 2), max_size=2),
    "queueId": st.dictionaries(st.sampled_from(NICS), st.integers(0, 2), max_size=2),
}
_TRUNK = "10-20"  # a range of VLANs
# Which card it is makes a plan or a refusal, and nothing between. Whether a kernel has an option that came after 6.1 is
# known only when a bond is there.
_LEFT_OUT = ("Nic.match", "Bond.coupledControl", "Bond.broadcastNeighbor")


class Documents(list[Document]):
    """With a representation that somebody can read."""

    def __repr__(self) -> str:
        return "\n".join(["", *(f"{doc.key} {'adopts ' if doc.adopts else ''}{doc.given['spec']}" for doc in self)])


@st.composite
def documents(draw: st.DrawFn) -> Documents:
    """Documents of links that are valid together."""
    keys = draw(
        st.lists(st.sampled_from([(k, n) for k, names in NAMES.items() for n in names]), unique=True, max_size=5)
    )
    bodies = {f"{k}/{n}": draw(specs(k)) for k, n in keys}
    adopting = {name for name in bodies if draw(st.integers(0, 3)) == 3}
    return Documents(_valid(bodies, adopting))


@st.composite
def specs(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """The spec of one kind as a file has it: some of its fields."""
    spec: dict[str, Any] = {}
    for field in fields_of(kind(name).spec):
        label = f"{name}.{field.yaml}"
        if field.yaml in ("hosts", "hostSelector", "perHost") or label in _LEFT_OUT:
            continue
        often = label in _POOLS or field.yaml in _POOLS
        rarely = 1 if often else 5
        if field.required or draw(st.integers(0, rarely)) == rarely:  # so that Hypothesis shrinks to few fields
            spec[field.yaml] = draw(_value(name, field))
    return spec


def _value(name: str, field: Field) -> st.SearchStrategy[Any]:
    if field.yaml == "ports":
        return st.lists(_struct(field.type.item_type), unique_by=lambda port: str(port["name"]), max_size=2)
    pool = _POOLS.get(f"{name}.{field.yaml}", _POOLS.get(field.yaml))
    return pool if pool is not None else _of(field.type)


def _of(kind_of: mi.Type) -> st.SearchStrategy[Any]:
    """Anything of a declared type, with a liking for what is near its limits."""
    if isinstance(kind_of, mi.Metadata):
        return _of(kind_of.type)
    if isinstance(kind_of, mi.BoolType):
        return st.booleans()
    if isinstance(kind_of, mi.IntType):
        low, high = kind_of.ge or 0, kind_of.le if kind_of.le is not None else 2**31 - 1
        return st.sampled_from([low, low + 1, high]) | st.integers(low, min(high, low + 300))
    if isinstance(kind_of, mi.LiteralType):
        return st.sampled_from(kind_of.values)
    if isinstance(kind_of, mi.EnumType):
        return st.sampled_from([str(member.value) for member in kind_of.cls])
    if isinstance(kind_of, mi.CustomType) and issubclass(kind_of.cls, Duration):
        return st.sampled_from(["0s", "1s", "2s", "10s", "20s", "30s", "100ms"])
    if isinstance(kind_of, mi.CustomType) and issubclass(kind_of.cls, Mac):
        return st.sampled_from(MACS)
    if isinstance(kind_of, mi.StructType):
        return _struct(kind_of)
    if isinstance(kind_of, mi.VarTupleType):
        return st.lists(_of(kind_of.item_type), max_size=2)
    if isinstance(kind_of, mi.UnionType):
        return st.one_of([_of(inner) for inner in kind_of.types])
    if isinstance(kind_of, mi.StrType) and re.match(kind_of.pattern or "-", _TRUNK):
        return st.sampled_from([_TRUNK, "30-31"])
    raise TypeError(f"no way to draw a {kind_of}: give the field a pool")


@st.composite
def _struct(draw: st.DrawFn, kind_of: mi.StructType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields_of(kind_of.cls):
        if field.yaml == "name":
            found["name"] = draw(st.sampled_from(PORTS))
        elif field.change != Effect.POLICY and (field.required or draw(st.booleans())):
            found[field.yaml] = draw(_of(field.type))
    return found


def _valid(bodies: dict[str, dict[str, Any]], adopting: set[str]) -> list[Document]:
    """Without the fields, or at last the documents, that break a rule."""
    while True:
        made = {name: document(name, spec, adopt=name in adopting) for name, spec in bodies.items()}
        by_key = {doc.key: doc for doc in made.values()}
        wrong = ((n, p) for n, doc in made.items() for p in kind(doc.key.kind).check(doc, by_key))
        name, problem = next(((n, p) for n, p in wrong if p.severity == "error"), (None, None))
        if name is None or problem is None:
            return list(made.values())
        where, field = [*problem.pointer.split("/"), "", ""][1:3]
        required = any(f.required and f.yaml == field for f in fields_of(kind(name.partition("/")[0]).spec))
        if where == "spec" and field in bodies[name] and not required:
            bodies[name] = {key: value for key, value in bodies[name].items() if key != field}
        else:
            bodies = {other: spec for other, spec in bodies.items() if other != name}
