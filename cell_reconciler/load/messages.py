"""What JSON Schema found wrong, in words: what was expected, what is there, and what was probably meant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from cell_reconciler.load.schema import ecma
from cell_reconciler.load.tree import escape, locate, pointer
from cell_reconciler.load.yaml_events import Raw
from cell_reconciler.model.diagnostic import Diagnostic
from cell_reconciler.model.quantities import QUANTITY, Bytes, Cpus, CpuSet, Duration, Mac
from cell_reconciler.model.suggest import did_you_mean

_TYPES = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_QUANTITIES = {
    ecma(Bytes.schema["pattern"]): "a size such as 8GiB",
    ecma(Duration.schema["pattern"]): "a duration such as 60s",
    ecma(Cpus.schema["pattern"]): "a number of CPUs such as 2.5 or 2500m",
    ecma(CpuSet.schema["pattern"]): "a set of CPUs such as 0-3,^2",
    ecma(Mac.schema["pattern"]): "a MAC address such as 52:54:00:10:20:30",
}
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} fields",
    "maxProperties": "at most {} fields",
}
_SENSITIVE = ("secret", "password", "passwd", "key", "credential", "token")

Path = Sequence[str | int]


def diagnostics(errors: Iterator[Any], raw: Raw) -> Iterator[Diagnostic]:
    """Every error of jsonschema as one diagnostic of ours (an error of several unknown fields as several)."""
    found = list(errors)
    mistyped = {tuple(error.absolute_path) for error in found if error.validator == "type"}
    misspelt = {tuple(error.absolute_path) for error in found if error.validator != QUANTITY}
    for error in found:
        path = tuple(error.absolute_path)
        if path in mistyped and error.validator != "type":
            continue  # of the wrong type, so of course it is none of the words either
        if path in misspelt and error.validator == QUANTITY:
            continue  # the pattern and the limits say it better
        if error.validator == "additionalProperties":
            yield from _unknown_fields(error, path, raw)
        elif error.validator == "required":
            yield _missing(error, path, raw)
        elif error.validator == "anyOf":
            yield from _alternatives(error, path, raw)
        elif error.validator == QUANTITY:
            yield _at(raw, path, "limit", f"{name_of(path)}: {error.message}")
        else:
            yield _value(error, path, raw)


def name_of(path: Path) -> str:
    """The field as messages call it: ``cores``, ``members[0]``, ``the document``."""
    name = ""
    for part in path:
        name = f"{name}[{part}]" if isinstance(part, int) else str(part)
    return name or "the document"


def dotted(path: Path) -> str:
    """The whole path: ``spec.disks[0]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "a document"


def show(value: Any, path: Path = ()) -> str:
    """A value as a message shows it: short, and never one that may be a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if any(word in str(part).lower() for part in path for word in _SENSITIVE):
        return "a value that is not shown"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:56] + '..."'


def expected(schema: dict[str, Any]) -> str:
    """What a schema asks for, in a few words."""
    if schema.get("pattern") in _QUANTITIES:
        return _QUANTITIES[schema["pattern"]]
    if "enum" in schema:
        return "one of " + ", ".join(str(word) for word in schema["enum"])
    kind = schema.get("type")
    return _TYPES.get(kind, str(kind)) if isinstance(kind, str) else "another type"


def _unknown_fields(error: Any, path: Path, raw: Raw) -> Iterator[Diagnostic]:
    known = list(error.schema.get("properties", {}))
    for name in error.instance:
        if name in known:
            continue
        message = f"'{name}' is not a field of {dotted(path)}{did_you_mean(name, known)}"
        advice = f"the fields are {', '.join(sorted(known))}"
        if not path and name == "status":
            advice = "status is what a host reports; it is never in a file"
        yield Diagnostic(
            position=locate(raw, [*path, name], key=True),
            rule="unknown-field",
            message=message,
            pointer=pointer(list(path)) + "/" + escape(name),
            advice=advice,
        )


def _missing(error: Any, path: Path, raw: Raw) -> Diagnostic:
    name = error.message.split("'")[1]
    text = error.schema.get("properties", {}).get(name, {}).get("description", "")
    return Diagnostic(
        position=locate(raw, list(path)),
        rule="required",
        message=f"{dotted(path)} has no '{name}'",
        pointer=pointer(list(path)),
        advice=f"{name}: {text}" if text else "",
    )


def _alternatives(error: Any, path: Path, raw: Raw) -> Iterator[Diagnostic]:
    """Several types are allowed: the errors of the one that fits best, or what they are."""
    deeper = [inner for inner in error.context if inner.validator != "type" or len(inner.relative_path) > 0]
    if deeper:
        index = deeper[0].relative_schema_path[0]
        yield from diagnostics(iter([e for e in deeper if e.relative_schema_path[0] == index]), raw)
        return
    choices = " or ".join(dict.fromkeys(expected(inner.schema) for inner in error.context))
    yield _at(raw, path, "type", f"{name_of(path)}: expected {choices}, got {show(error.instance, path)}")


def _value(error: Any, path: Path, raw: Raw) -> Diagnostic:
    rule, schema, value = error.validator, error.schema, error.instance
    name, got = name_of(path), show(error.instance, path)
    if rule == "type":
        quote = (
            schema.get("type") == "string"
            and isinstance(value, int | float)
            and not {"pattern", "enum"} & schema.keys()
        )
        advice = "quote it to make it a string" if quote else ""
        return _at(raw, path, "type", f"{name}: expected {expected(schema)}, got {got}", advice)
    if rule in ("enum", "const"):
        words = error.validator_value if rule == "enum" else [error.validator_value]
        meant = did_you_mean(value, words) if isinstance(value, str) else ""
        return _at(raw, path, "enum", f"{name}: expected {_one_of(words)}, got {got}{meant}")
    if rule == "pattern":
        if error.validator_value in _QUANTITIES:
            advice = "the suffixes are KiB, MiB, GiB, TiB" if "size" in expected(schema) else ""
            return _at(raw, path, "pattern", f"{name}: expected {expected(schema)}, got {got}", advice)
        examples = [str(example) for example in schema.get("examples", ()) if isinstance(example, str)]
        such = f", such as {examples[0]}" if examples else ""
        return _at(raw, path, "pattern", f"{name}: {got} does not match {error.validator_value}{such}")
    if rule in _LIMITS:
        limit = _LIMITS[rule].format(error.validator_value)
        limit = limit[:-1] if error.validator_value == 1 and limit.endswith("s") else limit
        have = f"{len(value)}" if rule.startswith(("min", "max")) and rule not in ("minimum", "maximum") else got
        return _at(raw, path, "limit", f"{name}: expected {limit}, got {have}")
    return _at(raw, path, str(rule), f"{name}: {got} is not allowed here")


def _one_of(words: Sequence[Any]) -> str:
    return (
        f"one of {', '.join(str(word) for word in words)}"
        if len(words) > 1
        else json.dumps(words[0], ensure_ascii=False)
    )


def _at(raw: Raw, path: Path, rule: str, message: str, advice: str = "") -> Diagnostic:
    return Diagnostic(
        position=locate(raw, list(path)), rule=rule, message=message, pointer=pointer(list(path)), advice=advice
    )
