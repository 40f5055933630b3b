"""One typed value against another, field by field, owned fields only.

Rule 1: a field that is UNSET in the wanted spec is not ours: it is neither compared nor changed.
Rule 2: UNSET in the observed spec means *absent*: it differs from any wanted value.
Rule 3: a list of structs that have a ``name`` is keyed by it: order does not matter, and paths read
``spec.disks[root].cache``. Other lists compare as ordered values, unless declared ``unordered=True``.
Rule 4: fields of change class POLICY have no counterpart on the host and are never compared.
Rule 5: of an adopted object only the fields that the document names are ours (``named``).
Rule 6: a struct that is declared ``whole=True`` is one value: what it leaves out is part of what it says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from cell_reconciler.model.change import FieldChange
from cell_reconciler.model.fields import UNSET, Effect, Field, encode, fields_of


def compare(
    want: Any,
    have: Any,
    *,
    named: Collection[str] | None = None,
    ignored: Collection[str] = (),
) -> tuple[FieldChange, ...]:
    """All differences between two specs of the same type.

    ``named`` are the JSON pointers that the document gives (None: all fields are ours); ``ignored`` are the JSON
    pointers of ``cell/ignore``: such differences are returned with ``ignored=True``, so that they can be shown.
    """
    return tuple(_struct(want, have, "spec", "/spec", named, frozenset(ignored)))


def plain(value: Any) -> Any:
    """A value as JSON has it, for FieldChange.have/want: quantities as text, UNSET as None."""
    return None if value is UNSET else msgspec.to_builtins(value, enc_hook=encode)


def _struct(
    want: Any, have: Any, path: str, pointer: str, named: Collection[str] | None, ignored: frozenset[str]
) -> Iterator[FieldChange]:
    for field in fields_of(want.__class__):
        if field.change == Effect.POLICY:
            continue
        wanted = getattr(want, field.name)
        here = f"{pointer}/{field.yaml}"
        if wanted is UNSET or (named is not None and here not in named):
            continue
        found = UNSET if have is UNSET else getattr(have, field.name)
        yield from _value(field, wanted, found, f"{path}.{field.yaml}", here, named, ignored)


def _value(
    field: Field,
    want: Any,
    have: Any,
    path: str,
    pointer: str,
    named: Collection[str] | None,
    ignored: frozenset[str],
) -> Iterator[FieldChange]:
    if isinstance(want, msgspec.Struct) and isinstance(have, msgspec.Struct) and not field.extra.get("whole"):
        yield from _struct(want, have, path, pointer, named, ignored)
    elif _keyed(want) or (want == () and _keyed(have)):
        yield from _list(field, want, have or (), path, pointer, named, ignored)
    elif not _equal(field, want, have):
        yield FieldChange(
            path=path,
            have=plain(have),
            want=plain(want),
            effect=field.change,
            ignored=covered(pointer, ignored),
            secret=bool(field.extra.get("secret")),
        )


def _list(
    field: Field,
    want: tuple[Any, ...],
    have: tuple[Any, ...],
    path: str,
    pointer: str,
    named: Collection[str] | None,
    ignored: frozenset[str],
) -> Iterator[FieldChange]:
    found = {item.name: item for item in have}
    for index, item in enumerate(want):
        here, there = f"{path}[{item.name}]", f"{pointer}/{index}"
        if item.name in found:
            yield from _struct(item, found[item.name], here, there, named, ignored)
        else:
            skip = covered(pointer, ignored) or f"{pointer}/{item.name}" in ignored
            yield FieldChange(path=here, have=None, want=plain(item), effect=field.change, ignored=skip)
    for name in found.keys() - {item.name for item in want}:
        skip = covered(pointer, ignored) or f"{pointer}/{name}" in ignored
        yield FieldChange(path=f"{path}[{name}]", have=plain(found[name]), want=None, effect=field.change, ignored=skip)


def _keyed(value: Any) -> bool:
    return (
        isinstance(value, tuple) and bool(value) and hasattr(value[0], "name") and isinstance(value[0], msgspec.Struct)
    )


def _equal(field: Field, want: Any, have: Any) -> bool:
    if have is UNSET:
        return False
    if field.extra.get("unordered") and isinstance(want, tuple):
        return sorted(want) == sorted(have)
    return bool(want == have)


def covered(pointer: str, ignored: frozenset[str]) -> bool:
    """Is the pointer, or one above it, named by ``cell/ignore``?"""
    return any(pointer == rule or pointer.startswith(rule.rstrip("/") + "/") for rule in ignored)
