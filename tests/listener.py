"""A host whose kernel is listened to: what is read after events, beside an observation of everything."""

from __future__ import annotations

import select
from collections.abc import Collection, Sequence

from cell_reconciler.converge.refresh import refresh
from cell_reconciler.daemon import mapping
from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.netlink import LinkEvents
from cell_reconciler.drivers.netlink.door import Network
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from tests.network import ip


class Listener:
    """``bulk`` counts how often all links were read for an answer."""

    def __init__(self, documents: Sequence[Document], *commands: str) -> None:
        """``commands`` of ``ip`` make the host."""
        self.documents = {document.key: document for document in documents}
        self.doors = Doors("test:///nothing")
        for command in commands:
            ip(command)
        self.events = LinkEvents()
        self.bulk = 0
        self._observe = self.doors.netlink.observe
        self.doors.netlink.observe = self._counted  # type: ignore[method-assign]
        self.before = self.live = self.whole()

    def whole(self) -> Live:
        """All of it, uncounted."""
        return Live(host="h1", **self._observe())

    def _counted(self, names: Collection[str] | None = None) -> Network:
        self.bulk += 1
        return self._observe(names)

    def after(self, *commands: str) -> set[Key]:
        """What is refreshed after these commands is what there is; returns the keys that it concerns."""
        for command in commands:
            ip(command)
        assert select.select([self.events], [], [], 5)[0], "the kernel told nothing"
        heard = self.events.read()
        assert heard is not None
        self.before = self.live
        self.live = refresh(self.doors, self.live, self.documents, [], heard)
        whole = self.whole()
        assert self.live.links == whole.links
        assert self.live.routes == whole.routes
        assert self.live.rules == whole.rules
        return mapping.concerned(self.before, self.live, mapping.links(self.documents), self.documents)
