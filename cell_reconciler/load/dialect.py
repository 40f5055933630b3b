"""Where JSON Schema, as jsonschema reads it, is wider than the typed structs: both must accept the same documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import ValidationError, validators


def strict(base: Any) -> Any:
    """A validator class for which 1.0 is no integer and ``$`` does not pass a newline at the end of a string."""
    types = base.TYPE_CHECKER.redefine("integer", _is_integer)
    extend: Any = validators.extend
    return extend(base, validators={"pattern": _pattern}, type_checker=types)


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _compiled(pattern).search(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern)
