"""Names of pools and volumes (they become file names, RBD image names and keys), and addresses of storage servers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.model.document import Document

LONGEST = 96  # RBD_MAX_IMAGE_NAME_SIZE of librbd.h; file names may have 255 bytes
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# A host name or IPv4 address, or an IPv6 address in brackets; a port after it.
_ADDRESS = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


def is_address(text: str) -> bool:
    """``ADDRESS`` or ``ADDRESS:PORT``."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and (not match[1] or 0 < int(match[1]) < 65536)


def is_name(text: str) -> bool:
    """May a pool or a volume be called so?"""
    return bool(_SAFE.fullmatch(text)) and len(text) <= LONGEST


def check_name(doc: Document) -> Iterable[Problem]:
    """No '/', no '@', no leading '.' or '-'; short enough for every backend."""
    name = doc.key.name
    if not _SAFE.fullmatch(name):
        yield Problem(
            pointer="/metadata/name",
            rule="storage-name",
            message=f"{name!r} cannot be the name of a {doc.key.kind}",
            advice="letters, digits and _ . - only, beginning with a letter, a digit or _",
        )
    elif len(name) > LONGEST:
        yield Problem(
            pointer="/metadata/name",
            rule="storage-name",
            message=f"the name has {len(name)} characters; a {doc.key.kind} may have {LONGEST}",
        )
