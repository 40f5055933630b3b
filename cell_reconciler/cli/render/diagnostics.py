"""The findings of a load in any format (``validate``)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TextIO

from cell_reconciler.model.diagnostic import Diagnostic
from cell_reconciler.model.document import Document

FORMATS = ("text", "json", "github", "sarif", "junit", "markdown")


def render(
    diagnostics: Sequence[Diagnostic],
    *,
    format: str,
    files: int,
    documents: int,
    seconds: float,
    stream: TextIO,
    color: bool = False,
    valid: Iterable[Document] = (),
    base: str | None = None,
) -> None:
    """Write the findings to ``stream``.

    ``files`` and ``documents`` are how many were checked; ``valid`` are the documents without an error, each of which
    becomes a testcase in JUnit. ``base`` is the checkout that paths are relative to (default: here).
    """
    base = base or os.getcwd()
    if format == "text":
        from cell_reconciler.cli.render import text

        lines = text.validation_lines(diagnostics, files=files, documents=documents, seconds=seconds, color=color)
        stream.writelines(f"{line}\n" for line in lines)
    elif format == "json":
        from cell_reconciler.cli.render import json

        json.write(json.validation(diagnostics, files=files, documents=documents, seconds=seconds), stream)
    elif format == "markdown":
        from cell_reconciler.cli.render import markdown

        stream.write(markdown.validation(diagnostics, files=files, documents=documents, base=base))
    else:
        from cell_reconciler.cli.render.text import count

        total = (
            f"{count(len(diagnostics), 'finding')} in {count(files, 'file')}, {count(documents, 'document')} checked"
        )
        _findings(diagnostics, format, stream, base, total, valid, seconds)


def _findings(
    diagnostics: Sequence[Diagnostic],
    format: str,
    stream: TextIO,
    base: str,
    total: str,
    valid: Iterable[Document],
    seconds: float,
) -> None:
    from cell_reconciler.cli.render import findings, github, json, junit, sarif

    found = findings.of_diagnostics(diagnostics)
    if format == "github":
        stream.writelines(f"{line}\n" for line in github.lines(found, total, base))
    elif format == "sarif":
        json.write(sarif.document(found, base), stream)
    elif format == "junit":
        cases = [junit.Case(doc.key.kind, doc.key.name) for doc in valid]
        junit.write([*junit.by_file(found, base), *cases], stream, suite="cellctl validate", seconds=seconds)
    else:
        raise ValueError(f"{format!r} is not a format")
