"""The last confirmed network: the documents of links as they are in force, kept in ``network.json`` for the next boot.

A document gets there when its resource is in sync and nothing is pending; until then its last confirmed version stays.
One that is declared no more stays until its link is gone: the file says what *is*, so that a boot brings back no less.
The file is replaced as a whole and survives a power cut (fsync). It needs no other document: ignore rules of the
settings are written into the documents, defaults are part of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cell_reconciler.converge import pending
from cell_reconciler.errors import CellError
from cell_reconciler.kinds import KINDS, kind, link_kinds
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import decode, encode
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.planning.policy import IgnoreFields, with_ignore_rules

FORMAT = 1
PAUSE = 1.0  # seconds between two writes while many resources are made; the last of them is written at once


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One document. ``spec`` as JSON has it, with defaults and without what is not set."""

    key: Key
    spec: dict[str, Any]
    given: dict[str, Any]
    annotations: dict[str, str] = {}
    derived_from: tuple[Key, ...] = ()

    def document(self, file: str) -> Document:
        """Raises ValidationError when this version does not understand it, KeyError for a kind that it lacks."""
        return Document(
            key=self.key,
            spec=msgspec.convert(self.spec, kind(self.key.kind).spec, dec_hook=decode),
            given=self.given,
            position=Position(file, 1),
            annotations=self.annotations,
            derived_from=self.derived_from,
        )


class File(msgspec.Struct, frozen=True, kw_only=True):
    """What is written. ``host`` is the name under which it was applied."""

    host: str
    documents: tuple[Entry, ...]
    format: int = FORMAT


def network_path(state_dir: str | Path) -> Path:
    return Path(state_dir) / "network.json"


def load(state_dir: str | Path) -> File | None:
    """None when nothing was ever confirmed. Raises CellError for a file that cannot be read."""
    path = network_path(state_dir)
    try:
        return msgspec.json.decode(path.read_bytes(), type=File)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CellError(f"{path} cannot be read: {error}", "remove it; the next apply or run writes it anew") from error


def save(state_dir: str | Path, file: File) -> None:
    """Raises OSError when it cannot be written; the old one is still there then."""
    pending.write(network_path(state_dir), msgspec.json.encode(file))


class Confirmed:
    """What a process knows of the file. ``keep`` is called with everything that a pass found in sync."""

    def __init__(self, state_dir: str | Path, host: str) -> None:
        self._state_dir = state_dir
        self._host = host
        self._entries: dict[Key, Entry] | None = None
        self._seen: dict[Key, Document] = {}  # the very document behind an entry: nothing to compare while it is that
        self._ignore: tuple[IgnoreFields, ...] = ()
        self._dirty = False
        self._written = 0.0

    def take(
        self, documents: Mapping[Key, Document], in_sync: Collection[Key], live: Live, ignore: tuple[IgnoreFields, ...]
    ) -> None:
        """``in_sync`` are keys whose documents are in force, by this observation."""
        entries = self._known()
        if ignore != self._ignore:
            self._ignore, self._seen = ignore, {}
        for key in in_sync:
            document = documents[key]
            if key.kind not in link_kinds() or self._seen.get(key) is document:
                continue
            self._seen[key] = document
            entry = _entry(with_ignore_rules(document, ignore))
            if entries.get(key) != entry:
                entries[key] = entry
                self._dirty = True
        if live.gap(Source.NETLINK) is None:
            for key in entries.keys() - documents.keys():
                if key.kind not in KINDS or not kind(key.kind).exists(key.name, live):
                    del entries[key]
                    self._seen.pop(key, None)
                    self._dirty = True

    def file(self) -> File:
        """As it should be now."""
        return File(host=self._host, documents=tuple(entry for _, entry in sorted(self._known().items())))

    def keep(self, documents: Mapping[Key, Document]) -> None:
        """Write it when it is another one, and not too often while many resources are made."""
        if not self._dirty or (time.monotonic() - self._written < PAUSE and not self._complete(documents)):
            return
        with contextlib.suppress(OSError):  # a full disk must not end the repairs; the next pass tries again
            save(self._state_dir, self.file())
            self._dirty, self._written = False, time.monotonic()

    def _complete(self, documents: Mapping[Key, Document]) -> bool:
        return all(key in self._seen for key in documents if key.kind in link_kinds())

    def _known(self) -> dict[Key, Entry]:
        if self._entries is None:
            try:
                found = load(self._state_dir)
            except CellError:
                found = None
            self._entries = {entry.key: entry for entry in found.documents} if found else {}
        return self._entries


def _entry(document: Document) -> Entry:
    """As it will be read again, so that the two can be compared."""
    entry = Entry(
        key=document.key,
        spec=msgspec.to_builtins(document.spec, enc_hook=encode),
        given=document.given,
        annotations=document.annotations,
        derived_from=document.derived_from,
    )
    return msgspec.json.decode(msgspec.json.encode(entry), type=Entry)
