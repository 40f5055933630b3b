"""Walks a spec and a domain's XML side by side, by the codecs that the fields are declared with.

One walk serves three uses: ``read`` makes a spec of XML, ``write`` with ``changed=None`` fills a new domain, and
``write`` with paths patches exactly those fields of an existing one. Paths are those of ``kinds.compare``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import inspect as mi

from cell_reconciler.kinds.virtual_machine.codec import Items, absent
from cell_reconciler.model.fields import Effect, fields_of
from cell_reconciler.model.storage import DiskSource

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


class Context(NamedTuple):
    """What writing needs besides the spec."""

    sources: Mapping[str, DiskSource] = {}  # by name of the disk
    names: Mapping[str, str] = {}  # of devices that we did not make: handle → the spec's name
    chosen: Mapping[str, str] = {}  # by name of the device: the PCI function that it gets, where it does not say itself
    module: int = 0  # bytes of memory that the running instance gets plugged in with this change


class _Node(NamedTuple):
    """One declared field that has a counterpart in the XML."""

    name: str
    yaml: str
    codec: Any  # None: a group without an element of its own
    group: type[msgspec.Struct] | None  # the struct of a nested field, or of the items of a list
    items: bool  # a list of elements, by key


@cache
def _nodes(struct: Any) -> tuple[_Node, ...]:
    nodes = []
    for field in fields_of(struct):
        kind = field.type.item_type if isinstance(field.type, mi.VarTupleType) else field.type
        codec = field.extra.get("xml")
        group = kind.cls if isinstance(kind, mi.StructType) and not getattr(codec, "entire", False) else None
        if field.change != Effect.POLICY and (codec or group):
            nodes.append(_Node(field.name, field.yaml, codec, group, isinstance(codec, Items)))
    return tuple(nodes)


def read(struct: Any, scope: Element, **fixed: Any) -> Any:
    """The ``struct`` that the XML amounts to; ``fixed`` are fields known otherwise (the key of an item)."""
    values: dict[str, Any] = fixed
    for name, _, codec, group, listed in _nodes(struct):
        if group is None:
            values[name] = codec.read(scope)
        elif listed:
            values[name] = tuple([read(group, element, **codec.known(item)) for item, element in codec.items(scope)])
        else:
            values[name] = read(group, scope) if codec is None or codec.read(scope) else None
    return struct(**values)


def write(scope: Element, value: Any, context: Context, changed: Collection[str] | None, path: str = "spec") -> None:
    """Write the fields of ``value`` whose paths are in ``changed`` (None: all) into the XML."""
    for node in _nodes(value.__class__):
        here, inner = f"{path}.{node.yaml}", getattr(value, node.name)
        whole = changed is None or here in changed
        if node.items:
            _write_items(scope, node.codec, inner, context, None if whole else changed, here)
        elif node.group:
            if whole and node.codec:
                node.codec.write(scope, inner, value, context)
            if not absent(inner):
                write(scope, inner, context, None if whole else changed, here)
        elif whole:
            node.codec.write(scope, inner, value, context)


def _write_items(
    scope: Element,
    codec: Items,
    items: tuple[Any, ...],
    context: Context,
    changed: Collection[str] | None,
    path: str,
) -> None:
    found = dict(codec.items(scope, context))
    wanted = {item.name for item in items}
    for name, element in found.items():
        if name not in wanted and (changed is None or f"{path}[{name}]" in changed):
            codec.delete(element)
    for item in items:
        here = f"{path}[{item.name}]"
        if item.name in found:
            whole = changed is None or here in changed
            write(found[item.name], item, context, None if whole else changed, here)
        elif changed is None or here in changed:
            write(codec.create(scope, item.name), item, context, None, here)
