"""Values → YAML that reads the same to everybody: block style, in the order given, quoted where YAML 1.1 or 1.2 would
take a text for something else (``on``, ``10:00``, ``0644``, ``0o17``, ``1e3``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_WIDTH = 110
_NUMBER_12 = re.compile(  # what the core schema of YAML 1.2 reads as a number and PyYAML's 1.1 as a text
    r"^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)$"
)


_BREAKS = frozenset("\x85\u2028\u2029\ufeff")  # line breaks and marks that only a double-quoted text keeps


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # as PyYAML has it
        super().increase_indent(flow, False)  # the items of a list stand below its name, not under it

    def ignore_aliases(self, data: Any) -> bool:
        return True  # our reader refuses aliases


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _BREAKS & set(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER_12, list("-+.0123456789"))


def document(value: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """One document as YAML, each comment on a line of its own before it. ``value`` holds plain values only."""
    text: str = yaml.dump(
        dict(value), Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=_WIDTH
    )
    return comment(comments) + text


def comment(lines: Iterable[str]) -> str:
    """Lines of comment. Nothing in them can end it, or be a character that YAML does not allow."""
    return "".join(f"# {_printable(line)}".rstrip() + "\n" for line in lines)


def stream(documents: Iterable[str]) -> str:
    """Several documents as one file."""
    return "---\n".join(documents)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
