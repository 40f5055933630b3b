"""Columns that line up, and nested values as indented lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from cell_reconciler.cli.render.style import Style, escape
from cell_reconciler.cli.render.values import show


def table(header: Sequence[str], rows: Sequence[Sequence[str]], style: Style, paint: dict[str, str]) -> Iterator[str]:
    """Rows of text; the last column is as wide as it needs. ``paint`` colours cells by their exact text."""
    cells = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(header, *cells, strict=True)]
    yield style.paint(_row(header, header, widths), "bold")
    for row in cells:
        yield _row(row, [style.paint(cell, paint[cell]) if cell in paint else cell for cell in row], widths)


def _row(plain: Sequence[str], painted: Sequence[str], widths: Sequence[int]) -> str:
    padded = [text + " " * (width - _width(bare)) for bare, text, width in zip(plain, painted, widths, strict=True)]
    return "   ".join([*padded[:-1], painted[-1]]).rstrip()


def _width(text: str) -> int:
    """Columns on a terminal: wide East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def tree(value: Any, indent: int = 2) -> Iterator[str]:
    """A plain value as lines, the way a spec is written; a list of things goes by their ``name``."""
    pad = " " * indent
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                yield f"{pad}{escape(str(key))}:"
                yield from tree(inner, indent + 2)
            else:
                yield f"{pad}{escape(str(key))}: {show(inner)}"
    elif isinstance(value, list):
        for item in value:
            lines = list(tree(item, indent + 2)) if isinstance(item, dict | list) and item else [show(item)]
            yield f"{pad}- {lines[0].lstrip()}"
            yield from lines[1:]
    else:
        yield pad + show(value)
