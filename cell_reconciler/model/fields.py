"""What a field of a spec is, declared once.

A spec is a frozen msgspec Struct; each field is annotated with ``doc(text, change, …)``::

    mtu: Annotated[int, doc("Largest frame, in bytes.", Effect.LIVE, ge=68, le=65535)] | UnsetType = UNSET

From that declaration come the JSON Schema (``load.schema``), ``cellctl explain``, the reference in ``docs/``, the
defaults, the comparison (``planning.compare``) and the risk of a change. ``UNSET`` means *not ours*: a field that a
document leaves out, and that has no default, is neither compared nor changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec import inspect as mi

from cell_reconciler.model.quantities import Quantity

PATH = r"^/[^\x00-\x1f\x7f\ufffe\uffff]+$"  # of a file, an absolute one that XML can carry


class Effect(StrEnum):
    """What changing a field of an existing object takes; the order is that of the disturbance."""

    POLICY = "policy"  # guides the reconciler; has no counterpart on the host, so it is never compared
    LIVE = "live"  # changed in place, nobody notices
    EMPTY = "empty"  # the members of a bond are released and enslaved again; it stays up
    DOWN = "down"  # the link goes down and up again (its members stay)
    REBUILD = "rebuild"  # both: down and empty (children keep their ifindex)
    REPLUG = "replug"  # the device is unplugged and plugged again
    RESTART = "restart"  # takes effect when the VM is powered off and started
    REPLACE = "replace"  # an identity: the object has to be deleted and created
    IMMUTABLE = "immutable"  # cannot be changed; refused with the remedy


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of every struct that stands in a document: snake_case here, camelCase in YAML."""


def doc(text: str, change: Effect = Effect.LIVE, *, examples: list[Any] | None = None, **limits: Any) -> Any:
    """Annotate a field: ``text`` for people, ``change`` for the planner, ``limits`` for the schema.

    ``limits`` are msgspec.Meta's own (ge, le, gt, lt, multiple_of, pattern, min_length, max_length). Keys that
    msgspec does not know (``xml=``, ``netlink=`` …) are kept in ``Field.extra`` for the kind that reads them.
    """
    known = {"ge", "le", "gt", "lt", "multiple_of", "pattern", "min_length", "max_length"}
    meta = {k: v for k, v in limits.items() if k in known}
    if str(meta.get("pattern", "")).endswith("$"):
        meta["pattern"] += r"(?!\n)"  # Python's $ also matches before a final newline; JSON Schema's does not
    extra = {k: v for k, v in limits.items() if k not in known}
    return msgspec.Meta(
        description=text,
        examples=examples,
        extra_json_schema={"x-cell-change": change.value},
        extra={"change": change, **extra},
        **meta,
    )


class Field(msgspec.Struct, frozen=True):
    """One declared field: what tables, ``explain``, docs and the comparison need of it."""

    name: str  # the attribute of the struct
    yaml: str  # the key in the document
    text: str
    change: Effect
    type: Any  # msgspec.inspect type, without the annotation and without UNSET
    required: bool
    default: Any  # UNSET where there is none
    extra: dict[str, Any]


@cache
def fields_of(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The declared fields of a Struct, in their order. Raises TypeError for a field without ``doc``."""
    info = mi.type_info(struct)
    if not isinstance(info, mi.StructType):
        raise TypeError(f"{struct!r} is not a struct")
    return tuple(_field(struct, f) for f in info.fields)


def _field(struct: type, f: mi.Field) -> Field:
    kind, meta = _unwrap(f.type)
    if meta is None:
        raise TypeError(f"{struct.__name__}.{f.name} is not annotated with doc(…)")
    default = UNSET if f.default is msgspec.NODEFAULT else f.default
    if f.default_factory is not msgspec.NODEFAULT:
        default = f.default_factory()
    extra = dict(meta["extra"])
    return Field(f.name, f.encode_name, meta["text"], extra.pop("change"), kind, f.required, default, extra)


def _unwrap(kind: mi.Type) -> tuple[mi.Type, dict[str, Any] | None]:
    """Strip the annotation from a type and return both (msgspec has already taken UNSET out)."""
    if not isinstance(kind, mi.Metadata) or kind.extra is None:
        return kind, None
    return kind.type, {"extra": kind.extra, "text": (kind.extra_json_schema or {}).get("description", "")}


def given_paths(value: Any, prefix: str = "") -> Iterator[str]:
    """JSON pointers of every mapping key that a document names, outermost first."""
    if isinstance(value, dict):
        for key, inner in value.items():
            pointer = f"{prefix}/{str(key).replace('~', '~0').replace('/', '~1')}"
            yield pointer
            yield from given_paths(inner, pointer)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from given_paths(inner, f"{prefix}/{index}")


def decode(kind: type, value: Any) -> Any:
    """msgspec ``dec_hook``: quantities from their text. Raises ValueError with the rule."""
    if issubclass(kind, Quantity):
        return kind.parse(value)
    raise TypeError(f"no way to read a {kind.__name__}")


def encode(value: Any) -> Any:
    """msgspec ``enc_hook``: quantities back to their text."""
    if isinstance(value, Quantity):
        return value.to_text()
    raise TypeError(f"no way to write a {type(value).__name__}")


__all__ = [
    "UNSET",
    "Effect",
    "Field",
    "Spec",
    "UnsetType",
    "decode",
    "doc",
    "encode",
    "fields_of",
    "given_paths",
]
