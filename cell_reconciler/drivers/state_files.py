"""Small files of other programs, read cheaply: what did not change is not read again, what cannot be read is empty."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Pairs = dict[str, str]  # "section.key" → value; "key" before any section

LARGEST = 1 << 18  # bytes of a file that are read; state files have some hundred
MOST_FILES = 20_000  # of a folder
_RACY = 50_000_000  # ns: what was written this shortly before may change again under the same time stamp
_REMEMBERED = 50_000  # files

_Stamp = tuple[int, int, int]
_files: dict[tuple[str, str], tuple[_Stamp, Any]] = {}
_folders: dict[str, tuple[_Stamp, dict[str, Pairs]]] = {}


def text(path: str) -> str:
    """The file's content, cut off at ``LARGEST``; empty when it is no file, or not readable. Never raises."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer must not block
        with open(descriptor, "rb") as file:
            return (file.read(LARGEST) or b"").decode(errors="replace")
    except OSError:
        return ""


def parsed(path: str, parse: Callable[[str], T]) -> T:
    """``parse`` of the file's content, remembered until its stat moves."""
    try:
        stamp = _stamp(os.stat(path))
    except OSError:
        return parse("")
    key = (path, parse.__name__)
    known = _files.get(key)
    if known is not None and known[0] == stamp:
        found: T = known[1]
        return found
    found = parse(text(path))
    if _settled(stamp):
        if len(_files) >= _REMEMBERED:
            _files.clear()
        _files[key] = (stamp, found)
    return found


def folder(path: str, *, edited: bool = False) -> dict[str, Pairs]:
    """File → its pairs, of all files in a folder; empty when it is not there.

    A folder that did not move holds what it held, since daemons write by renaming into it; ``edited``: people change
    these files in place, so each is looked at.
    """
    try:
        stamp = _stamp(os.stat(path))
        known = _folders.get(path)
        if known is not None and known[0] == stamp and not edited:
            return known[1]
        names = sorted(os.listdir(path))[:MOST_FILES]
    except OSError:
        return {}
    found = {name: parsed(f"{path}/{name}", pairs) for name in names}
    if _settled(stamp):
        _folders[path] = (stamp, found)
    return found


def pairs(content: str) -> Pairs:
    """``[section]`` and ``key=value``: keyfiles, unit files, the state files of systemd."""
    found: Pairs = {}
    section = ""
    for line in map(str.strip, content.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1] + "."
        elif "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found[section + key.strip()] = value.strip()
    return found


def _stamp(stat: os.stat_result) -> _Stamp:
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _settled(stamp: _Stamp) -> bool:
    return time.time_ns() - stamp[0] > _RACY
