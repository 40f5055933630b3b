"""Rules of a document that neither its types nor its kind can say: annotations, placement, names in lists."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect as mi

from cell_reconciler.load.embedded import mistakes
from cell_reconciler.load.tree import locate, patches, pointer
from cell_reconciler.load.yaml_events import Raw
from cell_reconciler.model.diagnostic import Diagnostic, Severity
from cell_reconciler.model.document import ADOPT, ANNOTATIONS, IGNORE, PROTECT, SUSPEND
from cell_reconciler.model.fields import fields_of
from cell_reconciler.model.suggest import did_you_mean

_PLACEMENT = ("hosts", "hostSelector", "perHost")


def document_rules(raw: Raw) -> Iterator[Diagnostic]:
    """Rules of the document as it stands in the file; it need not be valid otherwise."""
    yield from _annotations(raw)
    yield from _placement(raw)


def variant_rules(raw: Raw, struct: type[msgspec.Struct]) -> Iterator[Diagnostic]:
    """Rules of a merged document, valid or not: things in a list keyed by name have different names, and texts that
    another program reads as YAML are YAML."""
    for path, index, first, name in _same_names(raw.value.get("spec"), struct, ("spec",)):
        parts = (*path, index, "name")
        at = locate(raw, [*path, first, "name"])
        message = f"'{name}' is given twice in {path[-1]} (first at {at.line}:{at.column})"
        yield _at(raw, parts, "duplicate-name", message, "each needs a name of its own")
    for text, wrong in mistakes(raw.value.get("spec"), struct, ("spec",)):
        message = f"not YAML, which its reader expects: {wrong}"
        yield _at(raw, text, "embedded-yaml", message, severity=Severity.WARNING)


def _annotations(raw: Raw) -> Iterator[Diagnostic]:
    metadata = raw.value.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(annotations, dict):
        return
    for name, value in annotations.items():
        path = ("metadata", "annotations", name)
        if name.startswith("cell/") and name not in ANNOTATIONS:
            message = f"'{name}' is not an annotation of ours{did_you_mean(name, ANNOTATIONS)}"
            advice = f"they are {', '.join(ANNOTATIONS)}; other prefixes are free"
            yield _at(raw, path, "unknown-annotation", message, advice, key=True)
        elif isinstance(value, str):
            wrong = _annotation(name, value)
            if wrong:
                yield _at(raw, path, "annotation", f"{name}: {wrong}", ANNOTATIONS[name])


def _annotation(name: str, value: str) -> str:
    if name in (PROTECT, ADOPT) and value not in ("true", "false"):
        return "expected 'true' or 'false'"
    if name == IGNORE:
        wrong = [word for word in value.split() if not word.startswith("/")]
        return f"{wrong[0]!r} is not a JSON pointer such as /spec/mtu" if wrong else ""
    if name == SUSPEND:
        untils = [word.removeprefix("until=") for word in value.split() if word.startswith("until=")]
        try:
            if any(datetime.fromisoformat(word).tzinfo is None for word in untils):
                return "the time has no zone; write for example until=2026-11-24T10:00:00Z"
        except ValueError:
            return "not a time of RFC 3339; write for example until=2026-11-24T10:00:00Z"
        return "" if value.split() else "give a reason"
    return ""


def _placement(raw: Raw) -> Iterator[Diagnostic]:
    spec = raw.value.get("spec")
    if not isinstance(spec, dict):
        return
    hosts = spec.get("hosts")
    if hosts is not None and spec.get("hostSelector") is not None:
        message = "hosts and hostSelector exclude each other"
        yield _at(raw, ("spec", "hostSelector"), "placement", message, "keep one of them", key=True)
    for host, patch in patches(raw.value).items():
        path = ("spec", "perHost", host)
        if isinstance(hosts, list) and host not in hosts:
            meant = did_you_mean(host, [str(name) for name in hosts])
            message = f"'{host}' is not among hosts, so this patch never counts{meant}"
            yield _at(raw, path, "per-host", message, severity=Severity.WARNING, key=True)
        for name in _PLACEMENT:
            if isinstance(patch, dict) and name in patch:
                message = f"a patch for a host cannot change '{name}'"
                yield _at(raw, (*path, name), "per-host", message, "set it in spec itself", key=True)


def _same_names(
    value: Any, struct: type, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], int, int, str]]:
    if not isinstance(value, dict):
        return
    for name, inner_struct, is_list, keyed in _nested(struct):
        inner = value.get(name)
        here = (*path, name)
        if not is_list:
            yield from _same_names(inner, inner_struct, here)
        elif isinstance(inner, list):
            seen: dict[str, int] = {}
            for index, item in enumerate(inner):
                word = item.get("name") if keyed and isinstance(item, dict) else None
                first = seen.setdefault(word, index) if isinstance(word, str) else index
                if first != index:
                    yield here, index, first, str(word)
                yield from _same_names(item, inner_struct, (*here, index))


@cache
def _nested(struct: type) -> tuple[tuple[str, type, bool, bool], ...]:
    """Fields that hold structs: (key, struct, is it a list, is the list keyed by name)."""
    found = []
    for field in fields_of(struct):
        is_list = isinstance(field.type, mi.VarTupleType)
        item = field.type.item_type if isinstance(field.type, mi.VarTupleType) else field.type
        item = item.type if isinstance(item, mi.Metadata) else item
        if isinstance(item, mi.StructType):
            found.append((field.yaml, item.cls, is_list, is_list and "name" in item.cls.__struct_fields__))
    return tuple(found)


def _at(
    raw: Raw,
    path: tuple[str | int, ...],
    rule: str,
    message: str,
    advice: str = "",
    *,
    severity: Severity = Severity.ERROR,
    key: bool = False,
) -> Diagnostic:
    return Diagnostic(
        position=locate(raw, list(path), key=key),
        rule=rule,
        message=message,
        severity=severity,
        pointer=pointer(path),
        advice=advice,
    )
