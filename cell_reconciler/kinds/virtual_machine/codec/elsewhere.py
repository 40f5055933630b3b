"""A field that is known, but not by the XML: what it refers to is secret, or has a place of its own on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


class Elsewhere(Codec):
    """Reads as absent, and writes nothing: ``observe`` takes the field for what the document says, and a module of its
    own compares it with what the driver found."""

    def read(self, scope: Element) -> None:
        return None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        return
