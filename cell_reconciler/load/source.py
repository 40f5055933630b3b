"""Where specs come from: the files under the given paths, as GitOps tools and editors leave them.

Rule 1: a link to a directory is resolved once per scan and everything is read under that real path, so that a swap
(git-sync, a ConfigMap's ``..data``) in the middle of a scan cannot mix two revisions.
Rule 2: what editors and tools leave beside the specs is not a spec: dot-files, ``..*``, ``*~``, ``*.swp``, ``4913``.
Rule 3: what cannot be read is a finding, not an absence; what vanishes during the scan was deleted.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cell_reconciler.load.yaml_events import MAX_BYTES
from cell_reconciler.model.diagnostic import Diagnostic, Position, Severity

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"

Stamp = tuple[int, int, int, int, int]


class Found(msgspec.Struct, frozen=True, gc=False):
    """A file: the name that people know, the real path to read, and what tells whether it changed."""

    name: str
    path: str
    stamp: Stamp


class Scan(msgspec.Struct):
    """What one look at the paths found. ``unread`` are names (of files or folders) about which nothing is known."""

    files: list[Found]
    diagnostics: list[Diagnostic]
    unread: list[str]


def is_spec(name: str) -> bool:
    """Is a file of this name a spec? (``.#a.yaml`` and ``a.yaml~`` of editors are not)"""
    return name.endswith(SUFFIXES) and not name.startswith(".")


def scan(paths: Sequence[str]) -> Scan:
    """Stat everything below the paths. A root that is swapped meanwhile is scanned again."""
    result = Scan([], [], [])
    seen: set[tuple[int, int]] = set()
    for path in paths:
        if path != STDIN:
            _root(path, result, seen)
    return result


def stamp(status: os.stat_result) -> Stamp:
    """Moves whenever a file is written, replaced or touched."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def read_bytes(path: str) -> bytes:
    """The content, up to one byte more than a spec may have. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def read_stdin() -> bytes:
    """Standard input, likewise."""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def unreadable(name: str, error: OSError | str) -> Diagnostic:
    """The finding for what cannot be read."""
    reason = error if isinstance(error, str) else (error.strerror or str(error)).lower()
    return Diagnostic(
        position=Position(name, 1),
        rule="unreadable",
        message=f"cannot be read: {reason}",
        advice="what it declared stays in force until it can be read",
    )


def _root(path: str, result: Scan, seen: set[tuple[int, int]]) -> None:
    for _ in range(5):
        real = os.path.realpath(path)
        part, was_seen = Scan([], [], []), set(seen)
        try:
            status = os.stat(real)
        except OSError as error:
            _fail(path, error, part)
            part.diagnostics[-1] = msgspec.structs.replace(part.diagnostics[-1], rule="no-specs")
            break
        if not stat.S_ISDIR(status.st_mode):
            if _first(status, was_seen):
                part.files.append(Found(path, path, stamp(status)))
            break
        if (status.st_dev, status.st_ino) in was_seen:
            break  # below another path that was given
        _directory(real, path.rstrip("/") or "/", part, was_seen)
        if not part.files and not part.diagnostics:
            part.diagnostics.append(_empty(path))
        if os.path.realpath(path) == real:
            break
    seen |= was_seen
    result.files += part.files
    result.diagnostics += part.diagnostics
    result.unread += part.unread


def _directory(real: str, name: str, result: Scan, seen: set[tuple[int, int]]) -> None:
    """Everything in one directory, sorted; ``seen`` ends loops of links and keeps a file from counting twice."""
    try:
        if not _first(os.stat(real), seen):
            return
        with os.scandir(real) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        _fail(name, error, result)
        return
    data = os.path.join(real, "..data")  # a ConfigMap: its links go through this one, which is swapped
    pinned = os.path.realpath(data) if any(entry.name == "..data" for entry in found) else ""
    if pinned and pinned != data:
        _directory(pinned, name, result, seen)
    for entry in found:
        if not entry.name.startswith(".") and not (pinned and _through_data(entry)):
            _entry(entry, f"{name}/{entry.name}" if name != "/" else f"/{entry.name}", result, seen)


def _entry(entry: os.DirEntry[str], name: str, result: Scan, seen: set[tuple[int, int]]) -> None:
    try:
        status = entry.stat()
    except FileNotFoundError:
        if is_spec(entry.name) and os.path.lexists(entry.path):
            _fail(name, "the link leads nowhere", result)
        return
    except OSError as error:
        if is_spec(entry.name):
            _fail(name, error, result)
        return
    if stat.S_ISDIR(status.st_mode):
        _directory(os.path.realpath(entry.path) if entry.is_symlink() else entry.path, name, result, seen)
    elif is_spec(entry.name):
        if not stat.S_ISREG(status.st_mode):
            _fail(name, "not a regular file", result)
        elif _first(status, seen):
            result.files.append(Found(name, entry.path, stamp(status)))


def _first(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _through_data(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and os.readlink(entry.path).startswith("..data/")
    except OSError:
        return False


def _fail(name: str, error: OSError | str, result: Scan) -> None:
    result.diagnostics.append(unreadable(name, error))
    result.unread.append(name)


def _empty(path: str) -> Diagnostic:
    return Diagnostic(
        position=Position(path, 1),
        rule="no-specs",
        message=f"the directory holds no {', '.join('*' + suffix for suffix in SUFFIXES)} file",
        severity=Severity.ERROR,
        advice="nothing is pruned while it is empty; give the directory of the specs with -f",
    )


def files_of_tree(names: Iterator[str], paths: Sequence[str]) -> Iterator[str]:
    """Of the file names of a git tree those that a scan of ``paths`` would read."""
    roots = [Path(path).as_posix().rstrip("/") for path in paths]
    below = ["" if root == "." else root + "/" for root in roots]
    for name in names:
        inside = [name.removeprefix(root).split("/") for root in below if name.startswith(root)]
        if name in roots or any(is_spec(parts[-1]) and not any(p[:1] == "." for p in parts) for parts in inside):
            yield name
