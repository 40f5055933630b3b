"""``/etc/network/interfaces`` and what it includes, as interfaces(5) describes it: who has a stanza, and where."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping

import msgspec

from cell_reconciler.drivers.state_files import MOST_FILES, parsed

_DEEPEST = 5  # files that include files
_PORTS = frozenset({"bridge_ports", "bridge-ports", "bond-slaves", "bond_slaves", "slaves"})
_PLAIN_NAME = re.compile(r"^[A-Za-z0-9_-]+$")  # of the files that ``source-directory`` takes


class Stanzas(msgspec.Struct, frozen=True):
    """What one file says. ``ports``: interface → the one in whose stanza it is listed as a port or member."""

    defined: frozenset[str] = frozenset()
    ports: Mapping[str, str] = {}
    auto: frozenset[str] = frozenset()
    sources: tuple[tuple[str, bool], ...] = ()  # pattern, and is it of directories?


def interfaces(path: str, root: str = "", depth: int = 0) -> Iterator[tuple[str, Stanzas]]:
    """The file and those that it includes, each with its path. ``root`` stands before absolute patterns."""
    found = parsed(path, stanzas)
    yield path, found
    for pattern, directory in found.sources if depth < _DEEPEST else ():
        base = root + pattern if pattern.startswith("/") else f"{os.path.dirname(path)}/{pattern}"
        for other in sorted(glob.glob(f"{base}/*" if directory else base))[:MOST_FILES]:
            if os.path.isfile(other) and (not directory or _PLAIN_NAME.match(os.path.basename(other))):
                yield from interfaces(other, root, depth + 1)


def stanzas(content: str) -> Stanzas:
    """One file's text. What is not understood is left out."""
    defined, auto = set(), set()
    ports: dict[str, str] = {}
    sources: list[tuple[str, bool]] = []
    current = ""
    for line in content.replace("\\\n", " ").splitlines():
        word, *rest = line.split() or ["#"]
        if word == "iface" and rest:
            current = rest[0]
            defined.add(current)
        elif word == "auto" or word.startswith("allow-"):
            auto.update(rest)
        elif word in ("source", "source-directory"):
            sources += [(pattern, word == "source-directory") for pattern in rest]
        elif word in _PORTS and current:
            ports |= dict.fromkeys(rest, current)
    return Stanzas(frozenset(defined), ports, frozenset(auto), tuple(sources))
