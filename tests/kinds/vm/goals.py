"""What a document can say of a VM: every field that has a counterpart on the host, and every value where they are few.

A goal is a text: ``disks/serial`` (that field is said) or ``disks/bus=ide`` (that value is), without the places of
items in lists. Of fields without a counterpart only the values of enums are goals: they choose what is planned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from msgspec import inspect as mi

from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.fields import Effect, fields_of


class Leaf(NamedTuple):
    """One field with no fields inside that are compared one by one."""

    path: str  # disks/iotune/readBytesSec
    type: Any  # of msgspec.inspect, without annotation
    default: Any  # UNSET where there is none
    examples: tuple[Any, ...]  # as declared
    policy: bool  # without a counterpart on the host

    @property
    def values(self) -> tuple[Any, ...]:
        """Every value that it has, where they can be counted."""
        item = item_of(self.type)
        if isinstance(item, mi.EnumType):
            return tuple(str(member.value) for member in item.cls)
        return (True, False) if isinstance(item, mi.BoolType) and not self.policy else ()

    @property
    def goals(self) -> tuple[str, ...]:
        if self.values:
            return tuple(goal(self.path, value) for value in self.values)
        return () if self.policy else (self.path,)


def item_of(kind: Any) -> Any:
    """What a list is of; the type itself where it is none."""
    return kind.item_type if isinstance(kind, mi.VarTupleType) else kind


def goal(path: str, value: Any) -> str:
    return f"{path}={value if isinstance(value, str) else json.dumps(value)}"


def leaves(struct: Any = VirtualMachineSpec, path: str = "", policy: bool = False) -> Iterator[Leaf]:
    """Of a struct, in the order of its fields. A struct of which nothing is compared (a reference) is one itself."""
    for field, raw in zip(fields_of(struct), _raw(struct), strict=True):
        here, kind = f"{path}{field.yaml}", item_of(field.type)
        alone = policy or field.change == Effect.POLICY
        inside = tuple(leaves(kind.cls, f"{here}/", alone)) if isinstance(kind, mi.StructType) else ()
        if inside and (alone or not all(leaf.policy for leaf in inside)):
            yield from inside
        else:
            examples = tuple((raw.extra_json_schema or {}).get("examples", ()))
            yield Leaf(here, field.type, field.default, examples, alone)


@cache
def _raw(struct: Any) -> tuple[mi.Metadata, ...]:
    return tuple(field.type for field in mi.type_info(struct).fields)  # type: ignore[attr-defined, misc]


@cache
def goals() -> tuple[str, ...]:
    """All of them."""
    return tuple(goal for leaf in leaves() for goal in leaf.goals)


def reached(spec: Any, path: str = "") -> Iterator[str]:
    """The goals that a spec, as it stands in a document, comes to (and other texts of the same form)."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            here = f"{path}/{key}" if path else key
            yield here
            yield from reached(value, here)
    elif isinstance(spec, list | tuple):
        for item in spec:
            yield from reached(item, path)
    else:
        yield goal(path, spec)
