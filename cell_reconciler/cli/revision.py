"""Specs against the specs of a git revision: what a branch changes, without any host."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from cell_reconciler.kinds.compare import compare, plain
from cell_reconciler.load import load_files, load_git
from cell_reconciler.model.change import Cause, Change, FieldChange, Plan, Verb
from cell_reconciler.model.diagnostic import Diagnostic
from cell_reconciler.model.document import Document, document_digest
from cell_reconciler.model.fields import Effect, fields_of
from cell_reconciler.model.key import Key

_Found = dict[tuple[Key, Verb, str], list[str]]  # the same change on several hosts is one


def compare_revision(revision: str, paths: Sequence[str], host: str | None) -> tuple[Plan, tuple[Diagnostic, ...]]:
    """A plan without steps: per document, the fields that differ. Raises UsageError for what git does not know."""
    hosts = [host] if host else _hosts(revision, paths)
    found: _Found = {}
    changes: dict[tuple[Key, Verb, str], Change] = {}
    diagnostics: dict[Diagnostic, None] = {}
    for name in hosts:
        new, old = load_files(paths, name), load_git(revision, paths, name)
        diagnostics.update(dict.fromkeys(new.diagnostics))
        for change in between(new.documents, old.documents):
            mark = (change.key, change.verb, _hashable(change.fields))
            changes.setdefault(mark, change)
            found.setdefault(mark, []).append(name)
    listed = tuple(_on(changes[mark], found[mark], hosts) for mark in sorted(changes))
    return Plan(host=", ".join(hosts), changes=listed, steps=(), edges=()), tuple(diagnostics)


def between(new: Mapping[Key, Document], old: Mapping[Key, Document]) -> list[Change]:
    """One change for each document that appears, differs, stays or goes."""
    changes = [_changed(document, old.get(key)) for key, document in new.items()]
    gone = [document for key, document in old.items() if key not in new]
    return changes + [
        Change(
            key=document.key,
            verb=Verb.DELETE,
            cause=Cause.PRUNE,
            position=document.position,
            derived_from=document.derived_from,
            notes=() if document.derived_from else ("the object stays unless prune is on",),
        )
        for document in gone
    ]


def _changed(new: Document, old: Document | None) -> Change:
    where = {"key": new.key, "position": new.position, "derived_from": new.derived_from}
    if old is None:
        return Change(verb=Verb.CREATE, fields=_given(new), **where)  # type: ignore[arg-type]  # three fields of three types
    if document_digest(new) == document_digest(old):
        return Change(verb=Verb.NONE, **where)  # type: ignore[arg-type]  # as above
    fields = (*compare(new.spec, old.spec), *_dropped(new.spec, old.spec), *_policy(new.spec, old.spec))
    fields += _metadata("labels", new.labels, old.labels) + _metadata("annotations", new.annotations, old.annotations)
    return Change(verb=Verb.UPDATE, fields=fields, **where)  # type: ignore[arg-type]  # as above


def _given(new: Document) -> tuple[FieldChange, ...]:
    """What a new document says, field by field, for its reader."""
    named = new.given.get("spec") or {}
    spec: msgspec.Struct = new.spec
    values = [(f, plain(getattr(spec, f.name))) for f in fields_of(type(spec)) if f.yaml in named]
    return tuple(
        FieldChange(path=f"spec.{f.yaml}", have=None, want=value, effect=f.change)
        for f, value in values
        if value is not None
    )


def _dropped(new: msgspec.Struct, old: msgspec.Struct) -> tuple[FieldChange, ...]:
    """Fields that the new document leaves to whoever set them (``compare`` looks at wanted fields only)."""
    unset = msgspec.UNSET
    return tuple(
        FieldChange(path=f"spec.{f.yaml}", have=plain(getattr(old, f.name)), want=None, effect=f.change)
        for f in fields_of(type(new))
        if f.change != Effect.POLICY and getattr(new, f.name) is unset and getattr(old, f.name) is not unset
    )


def _policy(new: msgspec.Struct, old: msgspec.Struct) -> tuple[FieldChange, ...]:
    """Fields without a counterpart on a host, which ``compare`` leaves out."""
    pairs = [(f, plain(getattr(old, f.name)), plain(getattr(new, f.name))) for f in fields_of(type(new))]
    return tuple(
        FieldChange(path=f"spec.{f.yaml}", have=have, want=want, effect=f.change)
        for f, have, want in pairs
        if f.change == Effect.POLICY and have != want
    )


def _metadata(name: str, new: Mapping[str, str], old: Mapping[str, str]) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(path=f"metadata.{name}[{k}]", have=old.get(k), want=new.get(k), effect=Effect.POLICY)
        for k in sorted(new.keys() | old.keys())
        if new.get(k) != old.get(k)
    )


def _hashable(fields: tuple[FieldChange, ...]) -> str:
    return msgspec.json.encode(fields, order="sorted").decode()


def _hosts(revision: str, paths: Sequence[str]) -> list[str]:
    """Every host that has a Host document now or had one then; this machine when there is none."""
    here = os.uname().nodename
    loads = (load_files(paths, here), load_git(revision, paths, here))
    names = {key.name for load in loads for key in (*load.documents, *load.elsewhere) if key.kind == "Host"}
    return sorted(names) or [here]


def _on(change: Change, hosts: list[str], all_hosts: list[str]) -> Change:
    """Say where a change counts, when that is not everywhere."""
    if hosts == all_hosts or change.verb == Verb.NONE:
        return change
    return msgspec.structs.replace(change, notes=(*change.notes, f"on {', '.join(hosts)} only"))
