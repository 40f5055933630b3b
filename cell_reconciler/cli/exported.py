"""A live host as documents that can be trusted: they are loaded and planned before they are shown.

What the kinds' own rules refuse is taken out, field by field, and told; what a plan would change is taken out too, so
that applying an export never changes anything but marks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cell_reconciler.errors import UsageError
from cell_reconciler.kinds import KINDS, kind, kind_by_alias
from cell_reconciler.kinds.export import exporter, objects
from cell_reconciler.kinds.links.export import unsaid
from cell_reconciler.kinds.links.managers import REASON as MANAGED
from cell_reconciler.kinds.world import build
from cell_reconciler.load import Specs, write
from cell_reconciler.model.change import Change, Plan, Risk, Step
from cell_reconciler.model.document import ADOPT, Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.planning import Policy, make_plan

_ROUNDS = 20  # of taking out what is refused; each round takes at least one thing out


class Export(msgspec.Struct, kw_only=True):
    """Documents in the order of the kinds, what they do not say, and what was left out on purpose."""

    host: str
    documents: dict[Key, dict[str, Any]] = {}
    notes: dict[Key, list[str]] = {}  # also of keys without a document
    general: list[str] = []
    left_out: dict[Key, str] = {}
    pools: dict[Key, Document] = {}  # declared, and referred to

    def note(self, key: Key, text: str) -> None:
        known = self.notes.setdefault(key, [])
        if text not in known:
            known.append(text)

    def text(self, key: Key) -> str:
        """One document as YAML, with its notes as comments."""
        return write.document(self.documents[key], self.notes.get(key, ()))


def selected(what: Sequence[str], live: Live, *, ours: bool) -> tuple[list[Key], bool]:
    """The keys to export, and whether that is everything. Raises UsageError for what is not there."""
    keys: list[Key] = []
    for text in what:
        alias, slash, name = text.partition("/")
        of = kind_by_alias(alias)
        if exporter(of) is None:
            raise UsageError(f"{of.name} cannot be exported yet", f"these can: {', '.join(exportable())}")
        if not slash:
            keys += [Key(of.name, found) for found in objects(of.name, live, ours=ours)]
        elif of.exists(name, live):
            keys.append(Key(of.name, name))
        else:
            raise UsageError(f"there is no {of.name}/{name} on this host", f"cellctl export {of.name} lists what is")
    if not what:
        keys = [Key(name, found) for name in exportable() for found in objects(name, live, ours=ours)]
    return list(dict.fromkeys(keys)), not what


def exportable() -> list[str]:
    """The kinds that can be exported."""
    return [name for name in KINDS if exporter(kind(name)) is not None]


def needed(what: Sequence[str]) -> set[Source]:
    """The sources without which ``what`` cannot be told: of everything, the network; VMs are told if they are seen."""
    return {source for text in what for source in kind_by_alias(text.partition("/")[0]).sources} or {Source.NETLINK}


def export(
    what: Sequence[str], live: Live, *, ours: bool = False, pools: Mapping[Key, Document] | None = None
) -> Export:
    """Documents for ``what`` (kinds, or kind/name; nothing: everything that has a kind). Raises UsageError.

    ``pools``: the StoragePools that are declared; disks in them are named as their volumes.
    """
    keys, everything = selected(what, live, ours=ours)
    found = Export(host=live.host, documents={}, notes={}, general=[], left_out={}, pools=dict(pools or {}))
    world = build(live.host, found.pools, live)
    optional: list[Key] = []
    for key in sorted(keys, key=_rank):
        by = exporter(kind(key.kind))
        by_name = any(word.partition("/")[2] == key.name for word in what)
        if by is None:
            continue
        if (why := by.left_out(key.name, live)) and not by_name:
            found.left_out[key] = why
            continue
        one = by.export(key.name, world)
        if one is None:
            continue
        for text in one.lost:
            found.note(key, text)
        found.documents[key] = _document(key, one.spec, foreign=_is_foreign(key, live))
        if one.optional and not by_name:
            optional.append(key)
    _make_valid(found, live)
    for key in optional:
        if not found.documents.get(key, {}).get("spec"):
            found.documents.pop(key, None)
    named = {key for key in found.documents if any(word.partition("/")[2] == key.name for word in what)}
    for _ in range(_ROUNDS):
        if not _make_quiet(found, live, named):
            break
        _make_valid(found, live)
    if everything:
        found.general = list(unsaid(live, found.documents.values()))
        if (gap := live.gap(Source.LIBVIRT)) is not None:
            found.general.append(f"VMs were not seen: {gap.reason}")
    return found


def _document(key: Key, spec: dict[str, Any], *, foreign: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": key.name}
    if foreign:
        metadata["annotations"] = {ADOPT: "true"}
    return {"apiVersion": "cell/v1", "kind": key.kind, "metadata": metadata, "spec": spec}


def _is_foreign(key: Key, live: Live) -> bool:
    """Made by somebody else, or adopted: then a document has to say that it takes it over."""
    mark = dict(kind(key.kind).owned(live)).get(key.name)
    return mark is None or mark.adopted


def _rank(key: Key) -> tuple[int, str]:
    return list(KINDS).index(key.kind), key.name


def _specs(found: Export, live: Live) -> Specs:
    """The documents as the loader sees them, each as a file that is named by its key."""
    texts = {key: write.document(dict(doc.given), ()) for key, doc in found.pools.items()}
    texts |= {key: found.text(key) for key in found.documents}
    return Specs((), live.host, fixed={str(key): text.encode() for key, text in texts.items()})


def _make_valid(found: Export, live: Live) -> None:
    for _ in range(_ROUNDS):
        errors = [d for d in _specs(found, live).scan(live).diagnostics if d.severity == "error"]
        if not errors:
            return
        wrong: dict[Key, set[str]] = defaultdict(set)
        for error in errors:
            key = Key.parse(error.position.file)
            what = error.pointer.removeprefix("/spec/") if error.pointer.startswith("/spec/") else "the document"
            found.note(key, f"left out: {what}, since {error.message}")
            wrong[key].add(error.pointer)
        for key, pointers in wrong.items():
            _take_out(found, key, pointers)
    for key in {Key.parse(d.position.file) for d in _specs(found, live).scan(live).diagnostics}:
        found.documents.pop(key, None)


def _take_out(found: Export, key: Key, pointers: Iterable[str]) -> None:
    """Fields of the spec, or single items of a list in it; the document itself when something else is wrong."""
    spec = found.documents.get(key, {}).get("spec", {})
    items: list[tuple[str, int]] = []
    for pointer in pointers:
        parts = pointer.split("/")[1:]
        if parts[:1] != ["spec"] or len(parts) < 2 or parts[1] not in spec:
            found.documents.pop(key, None)
            return
        if isinstance(spec[parts[1]], list) and len(parts) > 2 and parts[2].isdecimal():
            items.append((parts[1], int(parts[2])))
        else:
            del spec[parts[1]]
    for field, index in sorted(items, reverse=True):
        if field in spec and index < len(spec[field]):
            del spec[field][index]
        if spec.get(field) == []:
            del spec[field]


def _make_quiet(found: Export, live: Live, named: Collection[Key]) -> bool:
    """Take out what the planner would change, and what a plan would do more to than to mark it; was there anything?

    An object that was asked for by its ``name`` keeps its document, and is told what would be done to it.
    """
    loaded = _specs(found, live).scan(live)
    plan = make_plan(live.host, loaded, live, Policy(allow=Risk.CUTS_VM))
    before = msgspec.to_builtins([d["spec"] for d in found.documents.values()])
    for change in (c for c in plan.changes if c.key in found.documents):
        paths = [f.path for f in change.fields if not f.ignored]
        if not paths and other_steps(change) and change.key not in named:
            steps = dict.fromkeys(step.text for step in other_steps(change))
            found.note(change.key, f"is not exported, as an apply of it would {'; '.join(steps)}")
            del found.documents[change.key]
        for field in {path.removeprefix("spec.").partition(".")[0].partition("[")[0] for path in paths}:
            found.note(change.key, f"{field} is not declared: it would be changed by an apply")
            if found.documents[change.key]["spec"].pop(field, None) is None:
                del found.documents[change.key]
                break
    if before != [d["spec"] for d in found.documents.values()]:
        return True
    _tell(found, plan)
    return False


def _tell(found: Export, plan: Plan) -> None:
    for change in plan.changes:
        if change.key not in found.documents:
            continue
        for refusal in (r for r in change.refused if r.reason != MANAGED):  # that was told
            found.note(change.key, f"apply refuses: {refusal.message}; {refusal.advice}".rstrip("; "))
        for step in other_steps(change):
            found.note(change.key, f"apply would also {step.text}")


def other_steps(change: Change) -> list[Step]:
    """The steps that do more than to write our mark."""
    return [step for step in change.steps if step.op.rpartition(".")[2] not in ("adopt", "mark")]


def notes(found: Export) -> Iterable[str]:
    """Everything that the documents do not say, a line each."""
    yield from _said(found, (key for key in found.notes if key in found.documents))
    yield from apart(found)


def apart(found: Export) -> Iterable[str]:
    """What no document is about, a line each."""
    yield from _said(found, (key for key in found.notes if key not in found.documents))
    yield from found.general
    groups: Mapping[str, list[str]] = defaultdict(list)
    for key, why in found.left_out.items():
        groups[why].append(str(key))
    for why, keys in groups.items():
        yield f"left out, {why}: {', '.join(keys)}"


def _said(found: Export, keys: Iterable[Key]) -> Iterable[str]:
    for key in sorted(keys, key=_rank):
        yield from (f"{key}: {text}" for text in found.notes[key])
