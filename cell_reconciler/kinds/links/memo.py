"""What is made of a set of documents is kept until another set comes, as a thousand are checked beside the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key

T = TypeVar("T")


class Latest(Generic[T]):
    """Calls ``make`` for documents that are not the last ones, or whose number changed since.

    What is kept is replaced as a whole, so that other threads see the old or the new one.
    """

    def __init__(self, make: Callable[[Mapping[Key, Document]], T]) -> None:
        self._make = make
        self._kept: tuple[Mapping[Key, Document], int, T] | None = None

    def __call__(self, documents: Mapping[Key, Document]) -> T:
        kept = self._kept
        if kept is None or kept[0] is not documents or kept[1] != len(documents):
            kept = self._kept = (documents, len(documents), self._make(documents))
        return kept[2]
