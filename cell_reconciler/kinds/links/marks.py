"""Whose is this link, and is this a name that the kernel takes?"""

from __future__ import annotations

import re

from cell_reconciler.model.document import Document, spec_digest
from cell_reconciler.model.document import mark_of as document_mark
from cell_reconciler.model.fields import given_paths
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP, Mark

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,14}$")


def mark_of(link: Link | None, key: Key) -> Mark | None:
    """Our mark, if this link is ours and belongs to ``key``.

    The alias alone is text that people write; the group says that it is ours. Without any alias the creation was
    cut short before the alias could be set: ours, with no digest. But not a bond that is a port: it may be somebody
    else's, and in our group because we made it the uplink of a bridge.
    """
    if link is None or link.group != GROUP:
        return None
    if not link.alias:
        return None if link.kind == "bond" and link.master else Mark(key, "")
    mark = Mark.parse(link.alias)
    return mark if mark is not None and mark.owner == key else None


def owner_of(link: Link) -> Key | None:
    """The resource that a link of ours belongs to, by its alias."""
    mark = Mark.parse(link.alias) if link.group == GROUP else None
    return mark.owner if mark else None


def fresh_mark(doc: Document, have: Mark | None) -> Mark:
    """The mark to write for a document now; an adopted object stays adopted."""
    adopted = have.adopted if have is not None else doc.adopts
    return document_mark(doc, spec_digest(doc.spec), adopted=adopted)


def new_mark(doc: Document) -> Mark:
    """The mark of a link that we make. Nothing was there to adopt, whatever the document allows."""
    return document_mark(doc, spec_digest(doc.spec), adopted=False)


def named_paths(doc: Document, have: Mark | None) -> frozenset[str] | None:
    """Which fields are ours: all of what we made (None), the named ones of what was there before us."""
    if (have is None and doc.adopts) or (have is not None and have.adopted):
        return frozenset(given_paths(doc.given))
    return None


def name_fault(name: str) -> str | None:
    """Why the kernel would not take this as the name of a new link (dev_valid_name, IFNAMSIZ); None if it would."""
    if name == "lo":
        return "lo belongs to the kernel"
    if len(name) > 15:
        return f"{name!r} has {len(name)} characters, a link's name has at most 15"
    if not _NAME.match(name):
        return f"{name!r} is no name for a link: letters, digits and _ . @ + - only, beginning with a letter or digit"
    return None
