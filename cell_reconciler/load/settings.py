"""Are the settings of this host known? Nothing may be written while they are not.

The Host and the Reconciler document say what may be done, and as what: with the defaults in the place of one that
cannot be read, VMs would be made for the wrong hypervisor, or links touched that are only to be observed. So it counts
what an invalid file seems to hold, or may hold; in doubt it holds settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cell_reconciler.kinds import KINDS
from cell_reconciler.load.envelope import placement
from cell_reconciler.load.yaml_events import Parsed
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.suggest import nearest

SETTINGS = frozenset({"Host", "Reconciler"})


def held(data: bytes, parsed: Parsed, host: str | None) -> frozenset[str]:
    """The kinds of settings documents for this host that a file has or, as far as it can be read, may have."""
    found = {kind for raw in parsed.documents if (kind := _kind(raw.value, host)) is not None}
    if parsed.errors:  # what comes after the error was not read
        found |= mentioned(data)
    return frozenset(found)


def mentioned(data: bytes) -> frozenset[str]:
    """The kinds of settings documents that a file may have which was not read."""
    return frozenset(kind for kind in SETTINGS if re.search(rb"\bkind\b\W*" + kind.encode() + rb"\b", data))


def declared(keys: Iterable[Key], host: str) -> set[str]:
    """The kinds of settings documents among the documents that count on the host."""
    return {key.kind for key in keys if key.kind == "Reconciler" or key == Key("Host", host)}


def known(kinds: Iterable[str], documents: Mapping[Key, Document], host: str) -> bool:
    """Is a document of each of these kinds in force on the host?"""
    reconciler = any(key.kind == "Reconciler" for key in documents)
    return all(reconciler if kind == "Reconciler" else Key(kind, host) in documents for kind in kinds)


def _kind(value: Any, host: str | None) -> str | None:
    word = value.get("kind") if isinstance(value, dict) else None
    kind = nearest(word, KINDS) if isinstance(word, str) else None
    if kind not in SETTINGS:
        return None
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if kind == "Host" and isinstance(name, str) and name != host:
        return None
    return kind if host is None or placement(value).counts(host, placement(value).labels or {}) else None
