"""Which directories to watch so that nothing about the spec paths goes unseen. Reads links and inodes only.

inotify watches inodes, people and GitOps tools change names: git-sync swaps a link above the directory, a ConfigMap
swaps ``..data`` inside it, an operator renames the directory itself. So the real directory is watched with all
below it, and beside it every directory that holds a name on the way there (of a link, and of the last component).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

LINKS = 40  # as the kernel's MAXSYMLINKS


class Place(msgspec.Struct, frozen=True):
    """A directory to watch: all below it, or only the entries ``names`` of it."""

    directory: str
    names: frozenset[str] | None  # None: everything, recursively


def places(paths: Iterable[Path]) -> tuple[Place, ...]:
    """Recursive places first: whoever runs out of watches notices at the last ones."""
    trees: set[str] = set()
    names: dict[str, set[str]] = {}
    ahead = list(paths)
    while ahead:
        path = ahead.pop()
        for directory, name in _steps(path):
            names.setdefault(directory, set()).add(name)
        real = os.path.realpath(path)
        if os.path.isdir(real) and real not in trees:
            trees.add(real)
            ahead += _linked(real)
    beside = [Place(directory, frozenset(found)) for directory, found in sorted(names.items())]
    return (*(Place(tree, None) for tree in sorted(trees)), *beside)


def identity(paths: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    """Where each path leads and to which inode: another answer means that the watches watch the wrong thing."""
    found = []
    for path in paths:
        real = os.path.realpath(path)
        try:
            stat = os.stat(real)
            found.append((real, stat.st_dev, stat.st_ino))
        except OSError:
            found.append((real, 0, 0))
    return tuple(found)


def _linked(tree: str) -> Iterable[Path]:
    """Links below a directory that lead to a directory: what is behind them is read too."""
    for here, directories, _ in os.walk(tree):
        directories[:] = [name for name in directories if name != ".git"]
        yield from (Path(here, name) for name in directories if os.path.islink(os.path.join(here, name)))


def _steps(path: Path) -> Iterable[tuple[str, str]]:
    """(directory, name) of each link on the way to ``path``, and of what is at its end or first missing there."""
    ahead = list(Path(os.path.abspath(path)).parts[1:])
    here, links = "/", 0
    while ahead:
        name = ahead.pop(0)
        if name == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, name)
        if os.path.islink(step) and links < LINKS:
            links += 1
            yield here, name
            target = Path(os.readlink(step))
            if target.is_absolute():
                here = "/"
            ahead = [part for part in target.parts if part not in ("/", ".")] + ahead
            continue
        if not ahead or not os.path.isdir(step):
            yield here, name
            return
        here = step


def ignored(path: str) -> bool:
    """Names that editors and git use for themselves (``..data`` of a ConfigMap is not one of them)."""
    name = os.path.basename(path)
    hidden = name.startswith(".") and not name.startswith("..")
    return hidden or name.endswith(("~", ".swp", ".swx")) or name == "4913" or f"{os.sep}.git{os.sep}" in path
