"""What a rescan of the specs brought: which keys changed, which went, which files are invalid now. Pure."""

from __future__ import annotations

import msgspec

from cell_reconciler.model.diagnostic import Diagnostic, Severity
from cell_reconciler.model.document import Document, Loaded, document_digest
from cell_reconciler.model.key import Key

SETTINGS = ("Host", "Reconciler", "Cluster")  # they change what is planned for all others


class News(msgspec.Struct, frozen=True):
    """``touched`` are keys whose document is new or differs; ``gone`` are declared no more."""

    touched: frozenset[Key]
    gone: frozenset[Key]
    problems: tuple[Diagnostic, ...]  # that were not there before
    solved: bool  # a problem of before is gone
    told: bool  # the list of problems differs in any way

    @property
    def settings(self) -> bool:
        """Did a settings document change?"""
        return any(key.kind in SETTINGS for key in self.touched | self.gone)


def news(old: Loaded | None, new: Loaded) -> News:
    """The difference between two loads; everything is new when there is no old one."""
    before = old.documents if old is not None else {}
    problems = old.diagnostics if old is not None else ()
    touched = {key for key, document in new.documents.items() if not _same(before.get(key), document)}
    stale = (old.stale if old is not None else frozenset()) ^ new.stale
    return News(
        touched=frozenset(touched | {key for key in stale if key in new.documents}),
        gone=frozenset(before.keys() - new.documents.keys()),
        problems=tuple(d for d in new.diagnostics if d not in problems),
        solved=any(d not in new.diagnostics for d in problems),
        told=old is None or problems != new.diagnostics,
    )


def invalid(problem: Diagnostic) -> bool:
    """Is it an error, and not only a warning?"""
    return problem.severity == Severity.ERROR


def _same(old: Document | None, new: Document) -> bool:
    return old is new or (old is not None and document_digest(old) == document_digest(new))
