"""Where JSON Schema, as jsonschema reads it, is wider than the typed structs: both must accept the same documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import ValidationError, validators

from cell_reconciler.model.quantities import QUANTITIES, QUANTITY


def strict(base: Any) -> Any:
    """For whose validators 1.0 is no integer, ``$`` passes no newline at the end of a string, and quantities end."""
    types = base.TYPE_CHECKER.redefine("integer", _is_integer)
    extend: Any = validators.extend
    return extend(base, validators={"pattern": _pattern, QUANTITY: _quantity}, type_checker=types)


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _compiled(pattern).search(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _quantity(validator: Any, name: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    types = schema["type"]
    if not any(validator.is_type(value, word) for word in ([types] if isinstance(types, str) else types)):
        return
    try:
        QUANTITIES[name].parse(value)
    except ValueError as error:
        yield ValidationError(str(error))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern)
