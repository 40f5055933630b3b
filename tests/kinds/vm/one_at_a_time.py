"""The smallest valid documents that say one thing each: every field of the model, and every value where they are few.

What a field is set to comes from its type, its limits (of a number: the least and the most) and its examples, and what
the model does not say, from two tables: values of texts, and the company that a field needs to be valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import inspect as mi

from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.fields import fields_of
from tests.kinds.vm.goals import Leaf, goal, item_of, leaves
from tests.kinds.vm.one_at_a_time_tables import BARE, COMPANY, CPUSETS, VALUES


class One(NamedTuple):
    """What is said, and the whole spec that says it."""

    goal: str
    spec: dict[str, Any]


def one_at_a_time() -> Iterator[One]:
    """Every case, in the order of the fields."""
    for leaf in leaves():
        if leaf.goals:
            yield from (one(leaf.path, value) for value in _said(leaf))
    yield from (one(path, {}) for path in BARE)


def one(path: str, value: Any) -> One:
    """The case that sets one field to a value."""
    name = goal(path, value)
    company: Any = {}
    for start, more in COMPANY.items():
        if name == start or name.startswith((f"{start}/", f"{start}=")):
            company = _merged(company, more)
    if path.endswith("SecMax"):  # a burst is one above a limit
        company = _merged(company, _placed(path.removesuffix("Max"), 1))
    spec = _merged(company, _placed(path, [value] if path in _LISTS else value))
    return One(name, _complete(VirtualMachineSpec, spec))


def _said(leaf: Leaf) -> tuple[Any, ...]:
    """What a field is set to, each for itself."""
    if leaf.path in VALUES or leaf.values:
        return VALUES.get(leaf.path, leaf.values)
    if leaf.examples:
        return leaf.examples
    if leaf.path.endswith(("cpuset", "emulator")):
        return CPUSETS
    assert isinstance(leaf.type, mi.IntType), f"no value for {leaf.path}: add one to VALUES"
    least = (leaf.type.ge or 0) + (leaf.type.ge == leaf.default or leaf.path.endswith("SecMax"))
    return (least, leaf.type.le)


_LEAVES = {leaf.path: leaf for leaf in leaves()}
_LISTS = frozenset(path for path, leaf in _LEAVES.items() if leaf.values and item_of(leaf.type) is not leaf.type)
_ITEMS = ("disks", "cdroms", "interfaces", "hostDevices", "vcpus", "pinning/ioThreads", "cells", "windows")


def _placed(path: str, value: Any) -> Any:
    """At its place in a spec; each list of structs on the way has one item."""
    above, _, name = path.rpartition("/")
    if not above:
        return {name: value}
    return _placed(above, [{name: value}] if above.endswith(_ITEMS) else {name: value})


def _merged(under: Any, over: Any) -> Any:
    """Both, and where they disagree what is over the other."""
    if isinstance(under, dict) and isinstance(over, dict):
        common = {key: _merged(under[key], over[key]) for key in under.keys() & over.keys()}
        return {**under, **over, **common}
    if isinstance(under, list) and isinstance(over, list) and over and isinstance(over[0], dict):
        return [_merged(under[0], over[0])]
    return over


def _complete(struct: Any, spec: dict[str, Any], path: str = "") -> dict[str, Any]:
    """With every field that has to be there, and without what is to be left out."""
    made = {}
    for field in fields_of(struct):
        here, value, kind = f"{path}{field.yaml}", spec.get(field.yaml), item_of(field.type)
        if value is None and field.required:
            value = {} if isinstance(kind, mi.StructType) else _said(_LEAVES[here])[0]
        if isinstance(kind, mi.StructType) and isinstance(value, list):
            value = [_complete(kind.cls, item, f"{here}/") for item in value]
        elif isinstance(kind, mi.StructType) and value is not None:
            value = _complete(kind.cls, value, f"{here}/")
        if value is not None:
            made[field.yaml] = value
    return made
