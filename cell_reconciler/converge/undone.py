"""Which changes were undone because nobody confirmed them: the watch loop does not try the same once more.

``undone.json`` lives longer than the process that made the change, since the guard may be the one that undid it. An
``apply`` by a person tries again, and a confirmation ends the memory. Deleting the file costs one more try.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from cell_reconciler.converge import pending as state
from cell_reconciler.model.document import Document, document_digest
from cell_reconciler.model.key import Key


class Undone:
    """``heed``: also what other processes wrote down counts here."""

    def __init__(self, state_dir: str | Path, *, heed: bool = False) -> None:
        self.path = Path(state_dir) / "undone.json"
        self.heed = heed
        self._mine: dict[str, str] = {}

    def remember(self, digests: Mapping[str, str]) -> None:
        """Documents (key as text → digest) whose change was undone."""
        self._mine |= digests
        with contextlib.suppress(OSError):  # a full disk must not keep anybody from undoing it
            self._write({**self._read(), **digests})

    def forget(self, keys: Collection[Key]) -> None:
        """Their change was confirmed."""
        names = {str(key) for key in keys}
        self._mine = {name: digest for name, digest in self._mine.items() if name not in names}
        known = self._read()
        if names & known.keys():
            with contextlib.suppress(OSError):
                self._write({name: digest for name, digest in known.items() if name not in names})

    def among(self, documents: Mapping[Key, Document]) -> frozenset[Key]:
        """Keys whose change was undone and whose document did not change since."""
        known = {**self._read(), **self._mine} if self.heed else self._mine
        found = ((Key.parse(name), digest) for name, digest in known.items())
        return frozenset(k for k, digest in found if k in documents and document_digest(documents[k]) == digest)

    def _read(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            return {}

    def _write(self, digests: Mapping[str, str]) -> None:
        state.write(self.path, msgspec.json.encode(digests, order="sorted"))
