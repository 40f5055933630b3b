"""The stateful shell around the pure parts: remembers files between scans, and the last good version of documents.

A file whose stat did not move is not read; one whose digest did not move is not parsed; documents are taken together
again only when some file changed. An invalid file keeps what it declared before in force (``Loaded.stale``).
"""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from cell_reconciler.load import source
from cell_reconciler.load.clashes import Clashes, clashes
from cell_reconciler.load.documents import Entry, File, raw_document, read_safely
from cell_reconciler.load.settings import SETTINGS, declared, known
from cell_reconciler.load.together import Missing, Together, declared_twice, judge_missing, labels_of, together
from cell_reconciler.load.tree import locate as locate_in
from cell_reconciler.load.tree import split
from cell_reconciler.load.yaml_events import Raw
from cell_reconciler.model.diagnostic import Diagnostic, Position, Severity
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live

_RACY = 50_000_000  # ns: a file written this shortly before it was read may change again under the same time stamp


class _Known(msgspec.Struct):
    """A file of the last scan. ``stamp`` None: read it again next time; ``data`` is kept for what has no path."""

    stamp: source.Stamp | None
    digest: bytes
    file: File
    path: str = ""
    data: bytes | None = None


class _Result(msgspec.Struct):
    """What the last scan came to, and what it depends on besides the files."""

    loaded: Loaded
    missing: dict[str, list[Missing]]  # by host
    judged: list[Diagnostic]
    scan_findings: list[Diagnostic]


class Specs:
    """The specs of some paths for one host. ``host`` None validates for every host that a document names (CI)."""

    def __init__(self, paths: Sequence[str], host: str | None, *, fixed: Mapping[str, bytes] | None = None) -> None:
        """``fixed`` gives the content of files (of a git revision) instead of reading ``paths``."""
        self.paths = tuple(str(path) for path in paths)
        self.host = host
        self._fixed = fixed
        self._known: dict[str, _Known] = {}
        self._good: dict[Key, Document] = {}
        self._last: _Result | None = None

    @property
    def documents_read(self) -> int:
        """Documents in all files of the last scan, also those of other hosts and invalid ones."""
        return sum(known.file.documents for known in self._known.values())

    def scan(self, live: Live | None = None) -> Loaded:
        """Look at every file and return what counts now. Never raises on user errors.

        With ``live``, a reference to something that no document declares is checked against what the host has.
        """
        with _without_gc():
            found = source.Scan([], [], []) if self._fixed is not None else source.scan(self.paths)
            changed = self._read_files(found)
        last = self._last
        same = last is not None and not changed and last.scan_findings == found.diagnostics
        if last is not None and same and self._judge(last, live) == last.judged:
            return last.loaded
        self._last = None  # should a bug end this, the next scan does not take the last result for that of now
        self._last = self._combine(found, live)
        return self._last.loaded

    # Files

    def _read_files(self, found: source.Scan) -> bool:
        """Bring ``_known`` up to date; True when the content of any file changed, appeared or went."""
        changed = False
        names = set()
        for name, data in self._contents():
            names.add(name)
            changed |= self._take(name, data, None)
        for file in found.files:
            names.add(file.name)
            known = self._known.get(file.name)
            if known is None or known.stamp != file.stamp:
                changed |= self._read_file(file, found, names)
        unread = tuple(found.unread)
        for name in [name for name in self._known if name not in names]:
            if not any(name == other or name.startswith(other.rstrip("/") + "/") for other in unread):
                del self._known[name]
                changed = True
        return changed

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        """Contents that come from no directory: a git revision, standard input (read once)."""
        if self._fixed is not None:
            yield from self._fixed.items()
        elif source.STDIN in self.paths:
            known = self._known.get("<stdin>")
            yield "<stdin>", known.data if known and known.data is not None else source.read_stdin()

    def _read_file(self, file: source.Found, found: source.Scan, names: set[str]) -> bool:
        now = time.time_ns()
        try:
            data = source.read_bytes(file.path)
        except FileNotFoundError:
            names.discard(file.name)  # deleted since the scan
            return False
        except OSError as error:
            found.diagnostics.append(source.unreadable(file.name, error))
            found.unread.append(file.name)
            return False
        changed = self._take(file.name, data, file.path)
        self._known[file.name].stamp = file.stamp if now - max(file.stamp[:2]) > _RACY else None
        return changed

    def _take(self, name: str, data: bytes, path: str | None) -> bool:
        digest = hashlib.sha256(data).digest()
        known = self._known.get(name)
        if known is not None and known.digest == digest:
            known.path = path or ""
            return False
        self._known[name] = _Known(
            None, digest, read_safely(data, name, self.host), path or "", data if path is None else None
        )
        return True

    # Documents

    def _combine(self, found: source.Scan, live: Live | None) -> _Result:
        invalid = {name for name, known in self._known.items() if not known.file.valid}
        invalid |= set(found.unread)
        everything = [entry for known in self._known.values() for entry in known.file.entries]
        entries = [entry for entry in everything if entry.position.file not in invalid]
        doubtful = [entry for entry in everything if entry.position.file in invalid]
        claimed = {key for name in invalid if name in self._known for key in self._known[name].file.claimed}
        in_force = {k: d for k, d in self._good.items() if _is_of(d.position.file, invalid)}
        locate = _Locator(self._known)
        documents: dict[Key, Document] = {}
        stale: set[Key] = set()
        findings = {d for known in self._known.values() for d in known.file.diagnostics} | set(found.diagnostics)
        missing: dict[str, list[Missing]] = {}
        elsewhere: set[Key] = set()
        settings = self._settings_in(invalid)
        apart = self._clashes(entries, in_force, locate)
        for host in self._hosts(entries):
            labels = _labels(entries, in_force, host)
            here, others = _select(entries, host, labels)
            elsewhere |= others
            settings |= declared((entry.key for entry in here), host)
            locate.host = host
            result, about, kept = self._settle(
                here, host, in_force, claimed, live, locate, missing, apart.get(host, {})
            )
            findings |= {*about, *declared_twice(here, _select(doubtful, host, labels)[0], host)}
            for key, document in result.documents.items():
                documents.setdefault(key, document)
            stale |= {key for key in kept if result.documents.get(key) is kept[key]}
        if self.host is not None:
            findings |= set(_selector_warnings(entries, self.host))
        self._good = {key: doc for key, doc in documents.items() if not doc.derived_from}
        loaded = Loaded(
            documents=documents,
            diagnostics=tuple(sorted(findings, key=lambda d: (d.position, d.rule, d.message))),
            stale=frozenset(stale),
            elsewhere=frozenset(elsewhere - documents.keys()) if self.host is not None else frozenset(),
            files=len(self._known),
            settings_known=self.host is None or known(settings, documents, self.host),
        )
        combined = _Result(loaded, missing, [], list(found.diagnostics))
        combined.judged = self._judge(combined, live)
        return combined

    def _settings_in(self, invalid: set[str]) -> set[str]:
        """The kinds of settings documents that invalid files have, or may have."""
        unread = [name for name in invalid if not any(_is_of(other, {name}) for other in self._known)]
        read = (self._known[name].file.settings for name in invalid if name in self._known)
        return set(SETTINGS) if unread else set().union(*read)

    def _settle(
        self,
        entries: Sequence[Entry],
        host: str,
        in_force: Mapping[Key, Document],
        claimed: set[Key],
        live: Live | None,
        locate: _Locator,
        missing: dict[str, list[Missing]],
        apart: Clashes,
    ) -> tuple[Together, list[Diagnostic], Mapping[Key, Document]]:
        """Take documents together until nothing more is wrong: what is, is replaced by its last good version."""
        about = [diagnostic for found in apart.values() for diagnostic in found]
        skip = {key for key, found in apart.items() if any(d.severity == Severity.ERROR for d in found)}
        while True:
            kept = {**in_force, **{key: self._good[key] for key in skip if key in self._good}}
            result = together(entries, host, kept, skip, locate)
            missing.setdefault(host, result.missing)
            judged = judge_missing(result.missing, claimed | skip | set(result.wrong), result.documents, live, locate)
            errors = {doc.key for doc, found in judged if found.severity == Severity.ERROR}
            about += [*result.diagnostics, *(found for _, found in judged)]
            new = {key for key in errors | set(result.wrong) if key not in skip and key not in kept}
            if not new:
                return result, about, kept
            skip |= new

    def _judge(self, last: _Result, live: Live | None) -> list[Diagnostic]:
        """The findings about references that nothing declares: they alone depend on the host."""
        found = []
        for missing in last.missing.values():
            judged = judge_missing(missing, (), (), live, lambda document, _pointer: document.position)
            found += [diagnostic for _, diagnostic in judged]
        return found

    def _clashes(
        self, entries: Sequence[Entry], in_force: Mapping[Key, Document], locate: _Locator
    ) -> dict[str, Clashes]:
        hosts = _named(entries)
        if len(hosts) < 2 or (self.host is not None and self.host not in hosts):
            return {}  # a host that no document names tries out what is meant for others
        labels = {host: _labels(entries, in_force, host) for host in hosts}

        def at(host: str) -> _Locator:
            locate.host = host
            return locate

        return clashes(entries, hosts, lambda entry, host: entry.placement.counts(host, labels[host]), at)

    def _hosts(self, entries: Sequence[Entry]) -> list[str]:
        """Those that documents are taken together for."""
        return [self.host] if self.host is not None else _named(entries) or [""]


class _Locator:
    """(document, pointer) → position. Marks of valid documents are not kept, so their file is parsed again."""

    def __init__(self, known: Mapping[str, _Known]) -> None:
        self._known = known
        self._data: dict[str, bytes | None] = {}
        self._last: tuple[object, Raw | None] = (None, None)
        self.host = ""

    def __call__(self, document: Document, pointer: str) -> Position:
        known = self._known.get(document.position.file)
        data = self._content(document.position.file, known) if known is not None else None
        if document.derived_from or known is None or data is None:
            return document.position
        raw = self._raw(document.position, known, data)
        return locate_in(raw, split(pointer)) if raw is not None else document.position

    def _raw(self, position: Position, known: _Known, data: bytes) -> Raw | None:
        if self._last[0] != (position, self.host):  # findings come document by document
            index = next((e.index for e in known.file.entries if e.position == position), None)
            raw = None if index is None else raw_document(data, position.file, index, self.host)
            self._last = ((position, self.host), raw)
        return self._last[1]

    def _content(self, name: str, known: _Known) -> bytes | None:
        """What the file held when it was read; None when it holds something else by now."""
        if name not in self._data:
            try:
                data = known.data if known.data is not None else source.read_bytes(known.path)
            except OSError:
                data = None
            same = data is not None and hashlib.sha256(data).digest() == known.digest
            self._data[name] = data if same else None
        return self._data[name]


def _select(entries: Sequence[Entry], host: str, labels: Mapping[str, str]) -> tuple[list[Entry], set[Key]]:
    """Entries that count on the host, and the keys of the others."""
    here = [entry for entry in entries if entry.placement.counts(host, labels)]
    counted = set(map(id, here))
    return here, {entry.key for entry in entries if id(entry) not in counted}


def _named(entries: Sequence[Entry]) -> list[str]:
    """The hosts that the documents name."""
    names = {name for e in entries for name in (*(e.placement.hosts or ()), *e.variants) if name}
    return sorted(names | {e.key.name for e in entries if e.key.kind == "Host"})


def _labels(entries: Sequence[Entry], in_force: Mapping[Key, Document], host: str) -> Mapping[str, str]:
    """The labels of a host by its document, the last good one too."""
    kept = in_force.get(Key("Host", host))
    return {**labels_of(entries, host), **(kept.labels if kept is not None else {})}


def _selector_warnings(entries: Sequence[Entry], host: str) -> Iterator[Diagnostic]:
    if any(entry.key == Key("Host", host) for entry in entries):
        return
    for entry in entries:
        if entry.placement.labels is not None:
            yield Diagnostic(
                position=entry.position,
                rule="host-selector",
                message=f"there is no Host document of {host!r}, so hostSelector selects nothing there",
                severity=Severity.WARNING,
                pointer="/spec/hostSelector",
                advice=f"declare Host/{host} with its labels",
            )


def _is_of(name: str, files: set[str]) -> bool:
    """Is the file one of these, or in one of these folders?"""
    return name in files or any(name.startswith(other.rstrip("/") + os.sep) for other in files)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Thousands of new dictionaries make the collector run over all of them again and again, for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
