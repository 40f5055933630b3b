"""The documents that count on one host, taken together: duplicates, the kinds' own rules, derived ones, references.

Pure: entries in, documents and findings out. A document that is wrong is dropped here; whether its last good version
stays in force is decided by ``specs``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from cell_reconciler.kinds import KINDS, kind
from cell_reconciler.kinds.contract import Problem, Reference
from cell_reconciler.load import internal
from cell_reconciler.load.documents import Entry
from cell_reconciler.model.diagnostic import Diagnostic, Position, Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.model.suggest import did_you_mean

_LONGEST = 1024  # of a message: a rule that names everything it collides with can name thousands

# (document, JSON pointer) → the place in its file
Locate = Callable[[Document, str], Position]


class Missing(msgspec.Struct, frozen=True):
    """A reference to something that no document declares; whether it exists is for the host to say."""

    document: Document
    reference: Reference


class Together(msgspec.Struct):
    """What counts, what is wrong, and which keys the errors are about."""

    documents: dict[Key, Document]
    diagnostics: list[Diagnostic]
    wrong: dict[Key, Document]  # dropped for an error; the value is what was dropped
    missing: list[Missing]


def labels_of(entries: Iterable[Entry], host: str) -> Mapping[str, str]:
    """The labels of the Host document of this host."""
    return next((e.labels for e in entries if e.key == Key("Host", host)), {})


def together(
    entries: Iterable[Entry], host: str, kept: Mapping[Key, Document], skip: Collection[Key], locate: Locate
) -> Together:
    """All cross-document rules for one host.

    ``kept`` are last good versions that stand in for what is invalid; entries of the keys in ``skip`` are left out.
    """
    result = Together({}, [], {}, [])
    first: dict[Key, Document] = {}
    for entry in entries:
        document = entry.document(host)
        if document is None or entry.key in skip:
            continue
        if entry.key in first:
            other = first[entry.key]
            result.diagnostics += [_twice(document, other), _twice(other, document)]
            result.wrong[entry.key] = other
        else:
            first[entry.key] = document
    for name in ("Reconciler", "Cluster"):
        _only_one(name, first, result)
    for key in result.wrong:
        first.pop(key, None)
    documents = {**first, **{k: d for k, d in kept.items() if k not in first}}
    for document in first.values():
        _check(document, documents, result, locate)
    for key in result.wrong:
        documents.pop(key, None)
    _derive(documents, result)
    result.documents = documents
    for document in documents.values():
        for reference in kind(document.key.kind).references(document, documents):
            if reference.target not in documents:
                result.missing.append(Missing(document, reference))
    return result


def judge_missing(
    missing: Iterable[Missing], claimed: Collection[Key], declared: Iterable[Key], live: Live | None, locate: Locate
) -> list[tuple[Document, Diagnostic]]:
    """Findings for references to what is neither declared nor, as far as the host says, there."""
    found = []
    by_kind: dict[str, list[str]] = {}
    for key in declared:
        by_kind.setdefault(key.kind, []).append(key.name)
    for item in missing:
        target, basis = item.reference.target, item.reference.basis
        if target in claimed or basis in claimed or target.kind not in KINDS:
            continue  # declared in a file that is invalid, and reported there
        meant = kind(target.kind)
        if live is not None and meant.exists(target.name, live):
            continue
        unknown = live is None or any(gap.source in meant.sources for gap in live.gaps)
        message = f"{target} is not declared" + (f", nor is {basis}, which would bring it into being" if basis else "")
        if live is not None:
            message += ", and it cannot be seen whether it exists" if unknown else " and does not exist on the host"
        known = by_kind.get(target.kind, [])
        diagnostic = Diagnostic(
            position=locate(item.document, item.reference.pointer),
            rule="reference",
            message=message + did_you_mean((basis or target).name, known),
            severity=Severity.WARNING if unknown else Severity.ERROR,
            pointer=item.reference.pointer,
            advice=f"declare it, or make it on the host before; declared: {', '.join(sorted(known)[:8]) or 'none'}",
        )
        found.append((item.document, diagnostic))
    return found


def declared_twice(entries: Iterable[Entry], doubtful: Iterable[Entry], host: str) -> list[Diagnostic]:
    """What documents of invalid files (``doubtful``, not used) declare although another document does."""
    found = []
    first = {entry.key: entry.document(host) for entry in entries}
    for entry in doubtful:
        this, other = entry.document(host), first.get(entry.key)
        if this is not None and other is not None:
            found += [_twice(this, other), _twice(other, this)]
        first.setdefault(entry.key, this)
    return found


def _twice(document: Document, other: Document) -> Diagnostic:
    return Diagnostic(
        position=document.position,
        rule="duplicate-key",
        message=f"{document.key} is declared twice (also at {other.position})",
        pointer="/metadata/name",
        advice="keep one of them, or give them different hosts",
    )


def _only_one(kind_name: str, first: Mapping[Key, Document], result: Together) -> None:
    """Of a kind that speaks of the whole host."""
    found = [doc for key, doc in first.items() if key.kind == kind_name]
    for document in found[1:]:
        for this, other in ((document, found[0]), (found[0], document)):
            message = f"a second {kind_name} counts on the same host ({other.key} at {other.position})"
            result.diagnostics.append(
                Diagnostic(position=this.position, rule=f"one-{kind_name.lower()}", message=message, pointer="/kind")
            )
            result.wrong[this.key] = this


def _check(document: Document, documents: Mapping[Key, Document], result: Together, locate: Locate) -> None:
    try:
        problems = list(kind(document.key.kind).check(document, documents))
    except Exception as error:  # noqa: BLE001  a bug that one document meets must not hold up the others
        result.diagnostics.append(internal.finding(error, document.position))
        result.wrong[document.key] = document
        return
    for problem in problems:
        result.diagnostics.append(as_diagnostic(problem, document, locate))
        if problem.severity == Severity.ERROR:
            result.wrong[document.key] = document


def as_diagnostic(problem: Problem, document: Document, locate: Locate) -> Diagnostic:
    """What a rule says, with its position."""
    return Diagnostic(
        position=locate(document, problem.pointer),
        rule=problem.rule,
        message=problem.message if len(problem.message) <= _LONGEST else problem.message[: _LONGEST - 3] + "...",
        severity=problem.severity,
        pointer=problem.pointer,
        advice=problem.advice,
    )


def _derive(documents: dict[Key, Document], result: Together) -> None:
    """Add what documents bring into being; the same from several is one, an explicit document wins."""
    explicit = frozenset(documents)
    queue = list(documents.values())
    users: dict[Key, set[Key]] = {}  # derived → what asked for it; thousands of VMs may share one access bridge
    for document in queue:  # grows: a derived document may derive others
        for child in kind(document.key.kind).derive(document, documents):
            if child.key in explicit or child.key in result.wrong:
                continue
            known = documents.get(child.key)
            if known is None:
                documents[child.key] = msgspec.structs.replace(child, position=document.position)
                users[child.key] = {document.key}
                queue.append(documents[child.key])
            elif known.spec == child.spec:
                users[child.key].add(document.key)
            else:
                _conflict(document, documents[min(users[child.key])], child.key, result)
    for key in users:
        roots = tuple(sorted(_roots(key, users)))
        documents[key] = msgspec.structs.replace(documents[key], derived_from=roots)
    for key in users:
        _check(documents[key], documents, result, lambda document, _pointer: document.position)
    for key in result.wrong:
        documents.pop(key, None)


def _roots(key: Key, users: Mapping[Key, set[Key]]) -> set[Key]:
    """The documents of files for whose sake a derived one exists."""
    return {root for user in users[key] for root in (_roots(user, users) if user in users else {user})}


def _conflict(document: Document, other: Document, wanted: Key, result: Together) -> None:
    for this, that in ((document, other), (other, document)):
        result.wrong[this.key] = this
        result.diagnostics.append(
            Diagnostic(
                position=this.position,
                rule="derived-conflict",
                message=f"{this.key} and {that.key} ({that.position}) need {wanted} to be different",
                advice=f"declare {wanted} in a document of its own",
            )
        )
