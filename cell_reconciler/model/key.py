"""The identity of a resource: kind and name, nothing else (there are no namespaces on one host)."""

from __future__ import annotations

import msgspec

from cell_reconciler.errors import UsageError


class Key(msgspec.Struct, frozen=True, order=True):
    """``Bridge/br-VM``. Two documents with the same key are an error; a key orders by kind, then name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """``Kind/name`` → Key; raises UsageError otherwise."""
        kind, slash, name = text.partition("/")
        if not (kind and slash and name):
            raise UsageError(f"{text!r} is not KIND/NAME", "write for example VirtualMachine/web-01")
        return cls(kind, name)
