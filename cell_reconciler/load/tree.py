"""Plain values with marks: JSON pointers to positions, and merge patches that remember where a value came from."""

from __future__ import annotations

from typing import Any

from cell_reconciler.load.yaml_events import Marks, Raw
from cell_reconciler.model.diagnostic import Position


def escape(part: str | int) -> str:
    """One part of a JSON pointer (RFC 6901 §3)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def pointer(parts: tuple[str | int, ...] | list[str | int]) -> str:
    """Parts of a path as a JSON pointer."""
    return "".join("/" + escape(part) for part in parts)


def split(text: str) -> list[str]:
    """A JSON pointer as its parts."""
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def locate(raw: Raw, parts: list[str] | list[str | int], *, key: bool = False) -> Position:
    """The place of a value (or of its key); of the nearest container above it for what is not there."""
    mark, node = raw.start, raw.value
    for part in parts:
        table = raw.marks.get(id(node))
        if isinstance(node, dict) and table and str(part) in node:
            pair = table[str(part)]
            node = node[str(part)]
            last = len(parts) and part is parts[-1]
            mark = pair[0] if key and last else pair[1]
        elif isinstance(node, list) and table and str(part).isdecimal() and int(part) < len(node):
            mark, node = table[int(part)], node[int(part)]
        else:
            break
    return raw.position(mark)


def merge_patch(base: Any, patch: Any, marks: Marks) -> Any:
    """RFC 7386: the patched value; ``marks`` gets the marks of the containers that this makes."""
    if not isinstance(patch, dict):
        return patch
    source: dict[str, Any] = base if isinstance(base, dict) else {}
    merged, table = dict(source), dict(marks.get(id(source)) or {})
    patch_table = marks.get(id(patch)) or {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
            table.pop(name, None)
            continue
        merged[name] = merge_patch(merged.get(name), value, marks)
        if name in patch_table:
            table[name] = patch_table[name]
    marks[id(merged)] = table
    return merged


def for_host(raw: Raw, host: str) -> Raw:
    """The document as it counts on a host: ``spec.perHost.<host>`` merged into ``spec``, or the document itself."""
    patch = patches(raw.value).get(host)
    if not isinstance(patch, dict):
        return raw
    marks = dict(raw.marks)
    spec = merge_patch(raw.value["spec"], patch, marks)
    value = {**raw.value, "spec": spec}
    marks[id(value)] = raw.marks[id(raw.value)]
    return Raw(value, marks, raw.start, raw.file, raw.offset, raw.intact)


def patches(value: Any) -> dict[str, Any]:
    """``spec.perHost`` of a document, empty when it has none (or no valid one)."""
    spec = value.get("spec") if isinstance(value, dict) else None
    found = spec.get("perHost") if isinstance(spec, dict) else None
    return found if isinstance(found, dict) else {}
