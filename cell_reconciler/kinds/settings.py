"""Base of the kinds that are settings only (Host, Reconciler, Cluster): nothing on the host to observe or change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Observed, Problem, Reference, World
from cell_reconciler.model.change import Change, Verb
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark


class SettingsKind:
    """A kind without live objects: always in sync, never pruned."""

    sources: frozenset[Source] = frozenset()

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        return ()

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        return ()

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def exists(self, name: str, live: Live) -> bool:
        return False

    def observe(self, name: str, world: World) -> Observed | None:
        return None

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        return ()

    def foreign(self, live: Live) -> Iterable[str]:
        return ()

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        if want is None:
            raise ValueError("settings have no live object, so they cannot be pruned")
        return Change(key=want.key, verb=Verb.NONE, position=want.position)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        return ()
