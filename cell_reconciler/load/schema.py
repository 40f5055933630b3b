"""JSON Schema (draft-07) of the kinds, generated from the declarations of their fields.

One schema per kind and a bundle for editors, which choose by ``kind`` with if/then: ``oneOf`` would turn every mistake
into "not valid under any of the given schemas". ``python -m cell_reconciler.load.schema --write schemas`` publishes
them, ``--check`` fails when the published ones are stale.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as mi

from cell_reconciler.kinds import KINDS, kind
from cell_reconciler.load.envelope import API_VERSION, Metadata
from cell_reconciler.model.document import ANNOTATIONS
from cell_reconciler.model.fields import UNSET, Field, encode, fields_of
from cell_reconciler.model.quantities import QUANTITY, Quantity

DRAFT = "http://json-schema.org/draft-07/schema#"
Schema = dict[str, Any]

_SIMPLE = {
    mi.StrType: "string",
    mi.IntType: "integer",
    mi.FloatType: "number",
    mi.BoolType: "boolean",
    mi.NoneType: "null",
}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}


class Generator:
    """Collects ``definitions`` while types are turned into schemas; ``prefix`` keeps the kinds of a bundle apart."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.definitions: dict[str, Schema] = {}

    def struct(self, struct: type[msgspec.Struct]) -> Schema:
        """The object schema of a Spec struct."""
        fields = fields_of(struct)
        schema: Schema = {
            "type": "object",
            "description": summary(struct),
            "properties": {f.yaml: self.field(f, examples) for f, examples in with_examples(struct)},
            "additionalProperties": False,
        }
        required = [f.yaml for f in fields if f.required]
        return schema | ({"required": required} if required else {})

    def field(self, field: Field, examples: list[Any]) -> Schema:
        """The schema of one field: its type and what the declaration says about it."""
        schema = self.of(field.type)
        if "$ref" in schema:  # draft-07 ignores what stands beside a $ref
            schema = {"allOf": [schema]}
        schema = {"description": field.text, **schema, "x-cell-change": field.change.value}
        if field.default is not UNSET:
            schema["default"] = plain(field.default)
        if examples:
            schema["examples"] = examples
        return schema

    def of(self, kind: mi.Type) -> Schema:  # noqa: PLR0911  # a table of types
        """The schema of a msgspec type. Raises TypeError for one that documents cannot have."""
        if isinstance(kind, mi.Metadata):
            extra = {k: v for k, v in (kind.extra_json_schema or {}).items() if k in ("description", "examples")}
            return self.of(kind.type) | extra
        if isinstance(kind, mi.CustomType) and issubclass(kind.cls, Quantity):
            pattern = ecma(kind.cls.schema["pattern"])
            return kind.cls.schema | {"pattern": pattern, QUANTITY: kind.cls.__name__}
        if isinstance(kind, mi.EnumType):
            return {"type": "string", "enum": [member.value for member in kind.cls]}
        if isinstance(kind, mi.LiteralType):
            return {"enum": list(kind.values)}
        if isinstance(kind, mi.StructType):
            return self._reference(kind.cls)
        if isinstance(kind, mi.DictType):
            schema: Schema = {"type": "object", "additionalProperties": self.of(kind.value_type) or True}
            names = {k: v for k, v in self.of(kind.key_type).items() if k != "type"}
            return _sized(schema | ({"propertyNames": names} if names else {}), kind, "Properties")
        if isinstance(kind, mi.VarTupleType | mi.ListType):
            return _sized({"type": "array", "items": self.of(kind.item_type)}, kind, "Items")
        if isinstance(kind, mi.UnionType):
            return {"anyOf": [self.of(inner) for inner in kind.types]}
        if isinstance(kind, mi.AnyType):
            return {}
        name = _SIMPLE.get(type(kind))
        if name is None:
            raise TypeError(f"no JSON Schema for {kind!r}")
        limits = {new: getattr(kind, old) for old, new in _LIMITS.items() if getattr(kind, old, None) is not None}
        if "pattern" in limits:
            limits["pattern"] = ecma(limits["pattern"])
        return _sized({"type": name} | limits, kind, "Length")

    def _reference(self, struct: type[msgspec.Struct]) -> Schema:
        name = self.prefix + struct.__name__
        if name not in self.definitions:
            self.definitions[name] = {}  # a struct may contain itself
            self.definitions[name] = self.struct(struct)
        return {"$ref": f"#/definitions/{name}"}


def _sized(schema: Schema, kind: Any, what: str) -> Schema:
    for old, new in (("min_length", "min"), ("max_length", "max")):
        if getattr(kind, old, None) is not None:
            schema[new + what] = getattr(kind, old)
    return schema


def with_examples(struct: type[msgspec.Struct]) -> list[tuple[Field, list[Any]]]:
    """The fields of a struct, each with the examples of its declaration; its own before those of its bases."""
    info = mi.type_info(struct)
    types = [f.type for f in info.fields] if isinstance(info, mi.StructType) else []
    extras = [(t.extra_json_schema or {}) if isinstance(t, mi.Metadata) else {} for t in types]
    found = [(f, list(e.get("examples") or [])) for f, e in zip(fields_of(struct), extras, strict=True)]
    owners = [vars(base).get("__annotations__", {}) for base in struct.__mro__]
    return sorted(found, key=lambda one: next(i for i, names in enumerate(owners) if one[0].name in names))


def summary(struct: type) -> str:
    """The docstring of a struct on one line."""
    return " ".join(inspect.cleandoc(struct.__doc__ or "").split())


def ecma(pattern: str) -> str:
    """A pattern of ours in the dialect of JSON Schema, in which ``$`` is the end and never before a newline."""
    return pattern.removesuffix(r"(?!\n)")


def plain(value: Any) -> Any:
    """A default as a document would have it."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=encode))


def kind_schema(name: str) -> Schema:
    """The schema of one kind, complete in itself."""
    generator = Generator()
    body = _document(name, generator)
    return {
        "$schema": DRAFT,
        "title": name,
        "description": summary(kind(name).spec),
        **body,
        "definitions": dict(sorted(generator.definitions.items())),
    }


def bundle() -> Schema:
    """One schema for all kinds; ``kind`` selects."""
    definitions: dict[str, Schema] = {}
    choices = []
    for name in KINDS:
        generator = Generator(prefix=name + ".")
        definitions[name] = {"title": name, "description": summary(kind(name).spec), **_document(name, generator)}
        definitions |= generator.definitions
        selects = {"properties": {"kind": {"const": name}}, "required": ["kind"]}
        choices.append({"if": selects, "then": {"$ref": f"#/definitions/{name}"}})
    return {
        "$schema": DRAFT,
        "title": "A document of cell-reconciler",
        "type": "object",
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"type": "string", "enum": list(KINDS)}},
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "allOf": choices,
        "definitions": dict(sorted(definitions.items())),
    }


def _document(name: str, generator: Generator) -> Schema:
    spec = generator.of(mi.type_info(kind(name).spec))
    metadata = generator.struct(Metadata)
    annotations = metadata["properties"]["annotations"]
    annotations["properties"] = {word: {"type": "string", "description": text} for word, text in ANNOTATIONS.items()}
    return {
        "type": "object",
        "properties": {
            "apiVersion": {"description": f"Version of the format: {API_VERSION}.", "const": API_VERSION},
            "kind": {"description": "What kind of resource this is.", "const": name},
            "metadata": metadata,
            "spec": spec,
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
    }


@cache
def validator(name: str) -> Any:
    """The kept validator of a kind; making one costs as much as 30 validations."""
    from jsonschema import Draft7Validator  # heavy (0.1 s), and needed only for what is invalid

    from cell_reconciler.load.dialect import strict

    return strict(Draft7Validator)(kind_schema(name))


def published() -> dict[str, Callable[[], Schema]]:
    """File name → what it must hold."""
    return {**{f"{name.lower()}.json": partial(kind_schema, name) for name in KINDS}, "cell.json": bundle}


def render(schema: Schema) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write the schemas, or check that the written ones are fresh."""
    from cell_reconciler.load.generated import generate

    parser = argparse.ArgumentParser(prog="python -m cell_reconciler.load.schema", description=main.__doc__)
    wanted = {name: render(make()) for name, make in published().items()}
    return generate(parser, Path("schemas"), wanted, "make schemas", argv)


if __name__ == "__main__":
    sys.exit(main())
