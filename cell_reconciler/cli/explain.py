"""Explain a kind or one of its fields: type, default, what changing it does to the host, and what is in it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, completes, use_color
from cell_reconciler.cli.render.style import Style

if TYPE_CHECKING:
    from cell_reconciler.load.describe import Node

EXITS = (exits.OK, exits.USAGE)
EXAMPLES = """
  cellctl explain VirtualMachine
  cellctl explain VirtualMachine.spec.disks
  cellctl explain bridge.vlan                    'spec' may be left out
"""
_WIDTH = 100


def configure(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument("path", metavar="KIND[.FIELD]", nargs="?", help="nothing: the kinds")
    completes(what, "kind")
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.load.describe import explain

    if args.path is None:
        nodes = _kinds()
        lines: Iterator[str] = iter([f"{node.path:<16}{node.text.partition('. ')[0]}" for node in nodes])
    else:
        nodes = [explain(args.path)]
        lines = text(nodes[0], Style(use_color(args)))
    if args.format == "json":
        from cell_reconciler.cli.render import json

        json.write({"formatVersion": json.FORMAT_VERSION, "explained": [as_json(node) for node in nodes]}, sys.stdout)
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return exits.OK


def _kinds() -> list[Node]:
    from cell_reconciler.kinds import KINDS
    from cell_reconciler.load.describe import root

    return [root(name) for name in KINDS]


def text(node: Node, style: Style) -> Iterator[str]:
    """In the manner of ``kubectl explain``."""
    from cell_reconciler.load.describe import spell
    from cell_reconciler.load.envelope import API_VERSION
    from cell_reconciler.model.fields import UNSET

    kind, _, path = node.path.partition(".")
    yield f"{style.paint('KIND:', 'bold')}     {kind}"
    yield f"{style.paint('VERSION:', 'bold')}  {API_VERSION}"
    if path:
        yield f"{style.paint('FIELD:', 'bold')}    {path} <{node.type}>{' required' if node.required else ''}"
    if node.default is not UNSET:
        yield f"{style.paint('DEFAULT:', 'bold')}  {spell(node.default)}"
    for limit in node.limits:
        yield f"{style.paint('LIMIT:', 'bold')}    {limit}"
    if node.change:
        yield f"{style.paint('CHANGE:', 'bold')}   {node.change}"
    yield ""
    yield style.paint("DESCRIPTION:", "bold")
    yield from _paragraph(node.text, "    ")
    for example in node.examples[:1]:
        yield f"    Example: {spell(example)}"
    if node.fields:
        yield ""
        yield style.paint("FIELDS:", "bold")
        for field in node.fields:
            yield from _field(field, style)


def _field(field: Node, style: Style) -> Iterator[str]:
    from cell_reconciler.load.describe import leaf, spell
    from cell_reconciler.model.fields import UNSET

    facts = " required" if field.required else ""
    facts += "" if field.default is UNSET else f" (default {spell(field.default)})"
    yield f"  {style.paint(leaf(field), 'cyan')}  <{field.type}>{facts}"
    yield from _paragraph(field.text, "    ")
    yield ""


def _paragraph(words: str, indent: str) -> list[str]:
    return wrap(words, width=_WIDTH, initial_indent=indent, subsequent_indent=indent)


def as_json(node: Node) -> dict[str, Any]:
    """The node as JSON has it; what does not apply is left out."""
    from cell_reconciler.model.fields import UNSET

    body: dict[str, Any] = {"path": node.path, "type": node.type, "description": node.text, "required": node.required}
    if node.default is not UNSET:
        body["default"] = node.default
    for name in ("limits", "change", "examples"):
        value = getattr(node, name)
        if value:
            body[name] = value
    if node.fields:
        body["fields"] = [as_json(field) for field in node.fields]
    return body
