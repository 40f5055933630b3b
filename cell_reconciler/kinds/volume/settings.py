"""Options of librbd for one volume: which are ours, what differs, and the rules. Pure.

Ours are those that the document names, and those that it named before: their names stand beside the mark, so that one
that is taken out of the document is unset, and one that somebody else set is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.volume import notes
from cell_reconciler.kinds.volume.spec import Value, VolumeSpec
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Image


def text(value: Value) -> str:
    """As librbd has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def observed(image: Image, spec: VolumeSpec | None) -> dict[str, Value]:
    """The settings of the image that are ours, each as the document writes it when it means the same."""
    wanted = spec.settings if spec is not None else {}
    ours = notes.settings(image) | wanted.keys()
    found = {name: value for name, value in image.settings.items() if name in ours}
    return {
        name: wanted[name] if name in wanted and text(wanted[name]) == value else value for name, value in found.items()
    }


def to_set(want: Mapping[str, Value], have: Mapping[str, Value]) -> dict[str, str]:
    return {name: text(value) for name, value in want.items() if name not in have or text(have[name]) != text(value)}


def to_unset(want: Mapping[str, Value], have: Mapping[str, Value]) -> tuple[str, ...]:
    return tuple(sorted(have.keys() - want.keys()))


def check(doc: Document) -> Iterable[Problem]:
    """Rules beyond the schema."""
    for name, value in doc.spec.settings.items():
        if not text(value).isprintable() or not text(value):
            yield Problem(
                pointer=f"/spec/settings/{name}",
                rule="volume-settings",
                message=f"the value of {name} is {'empty' if not text(value) else 'not printable'}",
                advice="take it out of the document to unset it",
            )
