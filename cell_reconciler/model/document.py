"""One declared resource: the typed spec, what the file really said, and where it said it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from cell_reconciler.model.diagnostic import Diagnostic, Position
from cell_reconciler.model.fields import UNSET, Spec, encode, fields_of
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark

PROTECT, IGNORE, SUSPEND, ADOPT = "cell/protect", "cell/ignore", "cell/suspend", "cell/adopt"
ANNOTATIONS = {
    PROTECT: "'true': the object is never deleted or replaced, whatever the specs say.",
    IGNORE: "JSON pointers, one a line: these fields are neither compared, changed nor reported as drift.",
    SUSPEND: "The reason, and 'until=TIME' (RFC 3339): nothing is done to the object meanwhile.",
    ADOPT: "'true': take over an existing object without our mark. Fields the spec leaves out stay as they are.",
}


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document that passed validation for this host.

    ``given`` is the merged document as plain values (``perHost`` applied): it tells which fields were named.
    ``derived_from`` names the documents whose need brought this one into being (an access bridge that a VM's
    interface asks for); it is empty for a document that stands in a file.
    """

    key: Key
    spec: Any  # the kind's own Spec struct
    given: dict[str, Any]
    position: Position
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    derived_from: tuple[Key, ...] = ()

    @property
    def protected(self) -> bool:
        """By the annotation, or by a field of the kind that says the same."""
        return self.annotations.get(PROTECT) == "true" or bool(getattr(self.spec, "deletion_protection", False))

    @property
    def adopts(self) -> bool:
        return self.annotations.get(ADOPT) == "true"

    @property
    def ignored(self) -> tuple[str, ...]:
        return tuple(self.annotations.get(IGNORE, "").split())


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a load: what counts for this host, and everything that is wrong.

    ``stale`` names keys whose file is invalid now and whose last good version is still in ``documents``.
    ``elsewhere`` names keys that are declared for other hosts. ``complete`` is False until every file was read
    without an error: pruning needs it. ``settings_known`` is False while a Host or Reconciler document of this host
    is invalid and has no last good version: its defaults are not what it says, so nothing is written.
    """

    documents: dict[Key, Document]
    diagnostics: tuple[Diagnostic, ...] = ()
    stale: frozenset[Key] = frozenset()
    elsewhere: frozenset[Key] = frozenset()
    files: int = 0
    settings_known: bool = True

    @property
    def complete(self) -> bool:
        return not any(d.severity == "error" for d in self.diagnostics)

    @property
    def digest(self) -> str:
        """Moves when any document that counts here moves."""
        sums = (f"{key} {document_digest(doc)}" for key, doc in sorted(self.documents.items()))
        return "sha256:" + hashlib.sha256("\n".join(sums).encode()).hexdigest()


def document_digest(document: Document) -> str:
    """Digest of everything in a document that can change what is done (not of comments or formatting)."""
    body = (document.spec, sorted(document.annotations.items()), sorted(document.labels.items()))
    return hashlib.sha256(msgspec.json.encode(body, enc_hook=encode, order="sorted")).hexdigest()


def mark_of(document: Document, digest: str, *, adopted: bool = False) -> Mark:
    """The mark that an object of this document must carry."""
    return Mark(
        document.key, digest, adopted=adopted, derived=bool(document.derived_from), protected=document.protected
    )


def spec_digest(spec: Spec) -> str:
    """Short digest of a typed spec, as the ownership mark carries it: 16 hex digits.

    Of what differs from the defaults only, so that a release that knows more fields finds the marks of the one before.
    """
    return hashlib.sha256(msgspec.json.encode(_said(spec), enc_hook=encode, order="sorted")).hexdigest()[:16]


def _said(value: Any) -> Any:
    """Without what is absent or as by default."""
    if isinstance(value, msgspec.Struct):
        said = ((field, getattr(value, field.name)) for field in fields_of(value.__class__))
        return {f.yaml: _said(v) for f, v in said if v is not None and v is not UNSET and v != f.default}
    return [_said(item) for item in value] if isinstance(value, tuple) else value
