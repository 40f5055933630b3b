"""What a field is, in words: for ``cellctl explain`` and for the reference in ``docs/``."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import inspect as mi

from cell_reconciler.errors import UsageError
from cell_reconciler.kinds import KINDS, kind, kind_by_alias
from cell_reconciler.load.envelope import API_VERSION, Envelope
from cell_reconciler.load.schema import ecma, plain, summary, with_examples
from cell_reconciler.model.fields import UNSET, Effect, Field
from cell_reconciler.model.quantities import Bytes, Cpus, CpuSet, Duration, Mac
from cell_reconciler.model.suggest import did_you_mean, nearest

CHANGE = {
    Effect.POLICY: "none on the host: it guides the reconciler",
    Effect.LIVE: "in place, nobody notices",
    Effect.EMPTY: "the members are released and enslaved again, the bond stays up",
    Effect.DOWN: "the link goes down and up again",
    Effect.REBUILD: "the members are released and enslaved again, the link goes down and up",
    Effect.REPLUG: "the device is unplugged and plugged again",
    Effect.RESTART: "takes effect when the VM is powered off and started",
    Effect.REPLACE: "the object has to be deleted and created",
    Effect.IMMUTABLE: "cannot be changed; refused, with the remedy",
}
_QUANTITIES: dict[Any, str] = {
    Bytes: "size",
    Cpus: "number of CPUs",
    CpuSet: "set of CPUs",
    Duration: "duration",
    Mac: "MAC address",
}
_SIMPLE: dict[Any, str] = {
    mi.StrType: "string",
    mi.IntType: "integer",
    mi.FloatType: "number",
    mi.BoolType: "boolean",
    mi.AnyType: "any",
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A kind or a field: what it is, and what is in it."""

    path: str  # "VirtualMachine.spec.disks"
    type: str
    text: str
    required: bool = False
    default: Any = UNSET  # as a document would have it
    limits: tuple[str, ...] = ()
    change: str = ""  # in words
    examples: tuple[Any, ...] = ()
    fields: tuple[Node, ...] = ()  # one level; empty for a plain value
    struct: Any = None  # the Struct that holds the fields


def find_kind(word: str) -> str:
    """The name of the kind that a word means. Raises UsageError with the nearest."""
    for name in KINDS:
        if word.lower() in (name.lower(), name.lower() + "s"):
            return name
    try:
        return kind_by_alias(word).name
    except UsageError:
        raise UsageError(
            f"{word!r} is not a kind{did_you_mean(word, KINDS)}", f"the kinds are {', '.join(KINDS)}"
        ) from None


def explain(text: str) -> Node:
    """``KIND[.field.path]`` → what it is. ``spec.`` may be left out. Raises UsageError for what does not exist."""
    word, *parts = text.replace("[]", "").split(".")
    name = find_kind(word)
    node = root(name)
    if parts and parts[0] not in {leaf(field) for field in node.fields}:
        word = parts[0].partition("[")[0]
        if nearest(word, [leaf(f) for f in child(node, "spec").fields]) and not nearest(word, map(leaf, node.fields)):
            parts = ["spec", *parts]
    for part in parts:
        node = child(node, part.partition("[")[0])
    return node


def leaf(node: Node) -> str:
    """The last part of the path."""
    return node.path.rpartition(".")[2]


def child(node: Node, part: str) -> Node:
    """A field of a node, with its own fields. Raises UsageError naming the nearest."""
    for field in node.fields:
        if leaf(field) == part:
            inner = summary(field.struct) if field.struct else ""
            text = field.text if inner in field.text else f"{field.text} {inner}"
            return msgspec.structs.replace(field, text=text, fields=fields(field.struct, field.path))
    names = [leaf(field) for field in node.fields]
    if not names:
        raise UsageError(f"{node.path} is a {node.type} and has no fields", f"see: cellctl explain {node.path}")
    near = nearest(part, names)
    hint = f"see: cellctl explain {node.path}.{near}" if near else f"its fields are {', '.join(names)}"
    raise UsageError(f"{node.path} has no field {part!r}{did_you_mean(part, names)}", hint)


def root(name: str) -> Node:
    """A kind."""
    meant = kind(name)
    found = [field for field in fields(Envelope, name) if leaf(field) != "spec"]
    spec = Node(path=f"{name}.spec", type="mapping", text=summary(meant.spec), required=True, struct=meant.spec)
    return Node(path=name, type=API_VERSION, text=summary(meant.spec), fields=(*found, spec), struct=None)


def fields(struct: Any, path: str) -> tuple[Node, ...]:
    """The fields of a Struct, one level."""
    return tuple(_node(field, examples, path) for field, examples in with_examples(struct)) if struct else ()


def _node(field: Field, examples: list[Any], path: str) -> Node:
    return Node(
        path=f"{path}.{field.yaml}",
        type=type_text(field.type),
        text=field.text,
        required=field.required,
        default=UNSET if field.default is UNSET else plain(field.default),
        limits=limits(field.type),
        change=CHANGE[field.change],
        examples=tuple(examples),
        struct=struct_of(field.type),
    )


def type_text(kind: Any) -> str:  # noqa: PLR0911  # a table of types
    """The type as people say it: ``list of string``, ``size``, ``one of kvm, qemu``."""
    if isinstance(kind, mi.Metadata):
        return type_text(kind.type)
    if isinstance(kind, mi.CustomType):
        return _QUANTITIES.get(kind.cls, str(kind.cls.__name__))
    if isinstance(kind, mi.EnumType):
        return "one of " + ", ".join(str(member.value) for member in kind.cls)
    if isinstance(kind, mi.LiteralType):
        return "one of " + ", ".join(map(str, kind.values)) if len(kind.values) > 1 else str(kind.values[0])
    if isinstance(kind, mi.StructType):
        return "mapping"
    if isinstance(kind, mi.DictType):
        inner = type_text(kind.value_type)
        return "mapping of names" if inner == "any" else f"mapping of name to {inner}"
    if isinstance(kind, mi.VarTupleType | mi.ListType):
        return f"list of {type_text(kind.item_type)}"
    if isinstance(kind, mi.UnionType):
        return " or ".join(type_text(inner) for inner in kind.types)
    return _SIMPLE.get(type(kind), "null")


def struct_of(kind: Any) -> Any:
    """The Struct in a type: itself, of the items of a list, of the values of a mapping; None for plain values."""
    if isinstance(kind, mi.Metadata):
        return struct_of(kind.type)
    if isinstance(kind, mi.StructType):
        return kind.cls
    if isinstance(kind, mi.VarTupleType | mi.ListType):
        return struct_of(kind.item_type)
    if isinstance(kind, mi.DictType):
        return struct_of(kind.value_type)
    if isinstance(kind, mi.UnionType):
        return next((found for inner in kind.types if (found := struct_of(inner))), None)
    return None


def limits(kind: Any) -> tuple[str, ...]:
    """What a value must fulfil besides its type."""
    if isinstance(kind, mi.Metadata):
        return limits(kind.type)
    words = {
        "ge": "at least {}",
        "gt": "more than {}",
        "le": "at most {}",
        "lt": "less than {}",
        "multiple_of": "a multiple of {}",
        "min_length": "length at least {}",
        "max_length": "length at most {}",
    }
    found = [text.format(getattr(kind, name)) for name, text in words.items() if getattr(kind, name, None) is not None]
    if getattr(kind, "pattern", None):
        found.append(f"matches {ecma(kind.pattern)}")
    if isinstance(kind, mi.VarTupleType | mi.ListType):
        found += [f"each: {text}" for text in limits(kind.item_type)]
    return tuple(found)


def spell(value: Any) -> str:
    """A default or an example on one line, as YAML (flow style) would have it."""
    if isinstance(value, str) and value and value.isprintable() and value.strip("-_./:") and ": " not in value:
        return value
    return json.dumps(value, ensure_ascii=False)
