"""One document of a file → its typed values, one per host that changes it, or everything that is wrong with it.

The typed conversion is the fast path; JSON Schema is the judge that words the errors, asked when the conversion fails.
Both accept the same documents (a property test holds them to it).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cell_reconciler.kinds import KINDS, kind
from cell_reconciler.load import internal
from cell_reconciler.load.envelope import API_VERSION, Envelope, Placement, placement
from cell_reconciler.load.rules import document_rules, variant_rules
from cell_reconciler.load.settings import held, mentioned
from cell_reconciler.load.tree import for_host, locate, patches, pointer
from cell_reconciler.load.yaml_events import Raw, parse
from cell_reconciler.model.diagnostic import Diagnostic, Position, Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import decode
from cell_reconciler.model.key import Key
from cell_reconciler.model.suggest import did_you_mean


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One document of a file. ``variants`` holds the document as it is under ``""`` and merged by host name."""

    key: Key
    index: int  # in the file
    position: Position
    placement: Placement
    labels: dict[str, str]
    variants: dict[str, Document]

    def document(self, host: str) -> Document | None:
        """As it counts on the host."""
        return self.variants.get(host) or self.variants.get("")


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read. ``claimed`` are the keys that its documents seem to declare, also the invalid ones.

    ``settings`` are the kinds of settings documents that it has, or may have where it cannot be read.
    """

    name: str
    entries: tuple[Entry, ...] = ()
    claimed: frozenset[Key] = frozenset()
    settings: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()
    documents: int = 0

    @property
    def valid(self) -> bool:
        return not any(d.severity == "error" for d in self.diagnostics)


def read(data: bytes, name: str, host: str | None) -> File:
    """The documents of a file; ``host`` None validates for every host that a document names."""
    parsed = parse(data, name)
    found: list[Diagnostic] = list(parsed.errors)
    entries = []
    claimed = set()
    for index, raw in enumerate(parsed.documents):
        key = claimed_key(raw.value)
        if key is not None:
            claimed.add(key)
        if raw.intact:
            entry = _entry(raw, index, host, found)
            if entry is not None:
                entries.append(entry)
    return File(
        name=name,
        entries=tuple(entries),
        claimed=frozenset(claimed),
        settings=held(data, parsed, host),
        diagnostics=tuple(sorted({_on_one_line(d) for d in found}, key=_order)),
        documents=len(parsed.documents),
    )


def read_safely(data: bytes, name: str, host: str | None) -> File:
    """``read``, but a bug that the file meets is a finding: it may hold anything, and the other files still count."""
    try:
        return read(data, name, host)
    except Exception as error:  # noqa: BLE001  as above
        return File(name=name, settings=mentioned(data), diagnostics=(internal.finding(error, Position(name, 1)),))


def raw_document(data: bytes, name: str, index: int, host: str) -> Raw | None:
    """One document of a file again, with its marks: they are not kept for what is valid."""
    documents = parse(data, name).documents
    return for_host(documents[index], host) if index < len(documents) else None


def claimed_key(value: Any) -> Key | None:
    """The key that a document, valid or not, seems to declare."""
    if not isinstance(value, dict):
        return None
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    word = value.get("kind")
    return Key(word, name) if isinstance(word, str) and isinstance(name, str) else None


def _on_one_line(found: Diagnostic) -> Diagnostic:
    """Keys of a file are quoted in messages; a line break in one must not look like a second finding."""
    if found.message.isprintable() and found.pointer.isprintable():
        return found
    message, path = (json.dumps(text)[1:-1].replace('\\"', '"') for text in (found.message, found.pointer))
    return msgspec.structs.replace(found, message=message, pointer=path)


def _order(found: Diagnostic) -> tuple[Position, str, str]:
    return (found.position, found.rule, found.message)


def _entry(raw: Raw, index: int, host: str | None, found: list[Diagnostic]) -> Entry | None:
    wrong = list(_envelope(raw))
    if wrong:
        found += wrong
        return None
    found += document_rules(raw)
    where = placement(raw.value)
    variants: dict[str, Document] = {}
    for name in _variants(raw.value, where, host):
        document = _variant(for_host(raw, name) if name else raw, found)
        if document is not None:
            variants[name] = document
    key = claimed_key(raw.value)
    if key is None or not variants:
        return None
    labels = next(iter(variants.values())).labels
    return Entry(
        key=key, index=index, position=raw.position(raw.start), placement=where, labels=labels, variants=variants
    )


def _variants(value: Any, where: Placement, host: str | None) -> Iterable[str]:
    """For which hosts a document is validated; ``""`` is the document as it is."""
    patched = patches(value)
    if host is not None and where.labels is None and where.counts(host, {}):
        return (host,) if host in patched else ("",)
    names = list(patched)
    as_it_is = not where.hosts or not set(where.hosts) <= set(names)
    return [""] * as_it_is + names


def _variant(raw: Raw, found: list[Diagnostic]) -> Document | None:
    """The typed document, or its errors in ``found``."""
    value = raw.value
    meant = kind(value["kind"])
    reason = ""
    try:
        envelope = msgspec.convert(value, Envelope)
        spec = msgspec.convert(value["spec"], meant.spec, dec_hook=decode)
    except msgspec.ValidationError as error:
        reason = str(error)
    wrong = list(_judge(raw, meant.name, reason)) if reason else []
    wrong += variant_rules(raw, meant.spec)
    found += wrong
    if any(diagnostic.severity == Severity.ERROR for diagnostic in wrong):
        return None
    return Document(
        key=Key(meant.name, envelope.metadata.name),
        spec=spec,
        given=value,
        position=raw.position(raw.start),
        labels=envelope.metadata.labels,
        annotations=envelope.metadata.annotations,
    )


def _judge(raw: Raw, name: str, reason: str) -> Iterator[Diagnostic]:
    from cell_reconciler.load.messages import diagnostics
    from cell_reconciler.load.schema import validator

    wrong = list(diagnostics(validator(name).iter_errors(raw.value), raw))
    if reason and not wrong:
        wrong = [Diagnostic(position=raw.position(raw.start), rule="invalid", message=reason)]
    yield from wrong


def _envelope(raw: Raw) -> Iterator[Diagnostic]:
    """What must be right before the schema of the kind can be asked."""
    value = raw.value
    if not isinstance(value, dict):
        yield _at(raw, (), "type", "a document must be a mapping with apiVersion, kind, metadata and spec")
        return
    version, name = value.get("apiVersion"), value.get("kind")
    if isinstance(name, str) and name in KINDS:
        return
    advice = f"the kinds are {', '.join(KINDS)}"
    if "kind" not in value:
        yield _at(raw, (), "required", "a document has no 'kind'", advice)
    else:
        meant = did_you_mean(name, KINDS) if isinstance(name, str) else ""
        yield _at(raw, ("kind",), "unknown-kind", f"{_show(name)} is not a kind{meant}", advice)
    if "apiVersion" not in value:
        yield _at(raw, (), "required", "a document has no 'apiVersion'", f"write apiVersion: {API_VERSION}")
    elif version != API_VERSION:
        yield _at(raw, ("apiVersion",), "enum", f'apiVersion: expected "{API_VERSION}", got {_show(version)}')


def _show(value: Any) -> str:
    from cell_reconciler.load.messages import show

    return show(value)


def _at(raw: Raw, path: tuple[str, ...], rule: str, message: str, advice: str = "") -> Diagnostic:
    return Diagnostic(
        position=locate(raw, list(path)), rule=rule, message=message, pointer=pointer(path), advice=advice
    )
