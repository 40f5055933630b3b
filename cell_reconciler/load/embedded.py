"""Texts in a document that another program reads as YAML (``embeds`` in a field's declaration): do they parse?

A warning only, since that program is the judge; but the guest that finds the mistake tells nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import yaml
from msgspec import inspect as mi

from cell_reconciler.model.fields import fields_of

_CLOUD_CONFIG = "#cloud-config"  # user data of other formats is no YAML


def mistakes(value: Any, struct: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Paths of the texts that do not parse, and where in the text it is."""
    if not isinstance(value, dict):
        return
    for field in fields_of(struct):
        inner, here = value.get(field.yaml), (*path, field.yaml)
        embeds = field.extra.get("embeds")
        if isinstance(field.type, mi.StructType):
            yield from mistakes(inner, field.type.cls, here)
        elif embeds and isinstance(inner, str) and (embeds == "yaml" or inner.splitlines()[:1] == [_CLOUD_CONFIG]):
            wrong = _wrong(inner)
            if wrong:
                yield here, wrong


def _wrong(text: str) -> str:
    try:
        for _ in yaml.parse(text, Loader=yaml.CBaseLoader):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1} of the text: " if mark else ""
        return f"{where}{error.problem}"
    except yaml.YAMLError as error:  # a character that YAML does not have
        return " ".join(str(error).split())
    return ""
