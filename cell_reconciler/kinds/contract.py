"""What a kind is: the contract between the kinds and everything above them.

A kind is one folder (``spec.py`` the fields, ``observe.py`` facts → spec, ``plan.py`` differences → steps,
``actions.py`` what a step does) and one line in ``kinds.KINDS``. All of it but ``actions`` is pure: values in,
values out, no clock, no I/O. An action reads and writes through ``drivers.Doors`` only.

Rule 1: ``observe`` answers in the type of the spec, in canonical units, so that one comparison serves all kinds.
Rule 2: ``plan`` is the only place that decides; ``diff``, ``apply`` and ``run`` call it and nothing else.
Rule 3: deleting what is gone and creating what is there are not errors: every action is idempotent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import Spec
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.node import Overcommit
from cell_reconciler.model.storage import PoolTarget


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A rule beyond the schema that a document breaks; ``pointer`` is turned into a position by ``load``."""

    pointer: str  # "/spec/cpu/cores"
    rule: str  # kebab-case, stable
    message: str
    severity: Severity = Severity.ERROR
    advice: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What one resource has and no other may: among those of a host, or (``everywhere``) of all hosts."""

    what: str  # for people
    rule: str
    pointer: str
    same: str = ""  # by what it is recognised, if not by ``what``
    shared: bool = False  # it may be had by others who share it
    everywhere: bool = False
    idle: bool = False  # nothing of it runs: other hosts may have the same document

    @property
    def key(self) -> str:
        return self.same or self.what

    def problem(self, holders: str) -> Problem:
        """Others have it."""
        return Problem(pointer=self.pointer, rule=self.rule, message=f"{self.what} is used by {holders} too")


class Reference(msgspec.Struct, frozen=True):
    """``pointer`` in the document names ``target``, which must be declared or exist on the host.

    ``basis`` is what the target would be derived from, were it declared: a missing target is reported by it.
    """

    target: Key
    pointer: str
    basis: Key | None = None


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One live object in the terms of its kind.

    ``spec`` is what is configured (a VM's persistent definition); ``refs`` is what it needs now, so that a thing
    is deleted only after its users moved away; ``detail`` is the raw fact (``live.Domain``, ``live.Link`` …).
    """

    key: Key
    spec: Any
    mark: Mark | None
    refs: frozenset[Key] = frozenset()
    detail: Any = None


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that planning one resource may look at besides the resource itself."""

    host: str
    domain_type: str  # kvm or qemu: of the Host document, never guessed
    documents: Mapping[Key, Document]
    live: Live
    pools: Mapping[str, PoolTarget]  # by StoragePool name
    overcommit: Overcommit = Overcommit()  # of the Host document

    def declared(self, kind: str, name: str) -> Document | None:
        return self.documents.get(Key(kind, name))


class Kind(Protocol):
    """One kind of resource. Instances hold no state."""

    @property
    def name(self) -> str:
        """As in documents: ``VirtualMachine``."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """What ``cellctl get`` also accepts: ``("vm", "vms")``."""

    @property
    def spec(self) -> type[Spec]: ...

    @property
    def sources(self) -> frozenset[Source]:
        """The sources without which nothing can be said about a resource of this kind."""

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        """Offline rules that JSON Schema cannot say."""

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        """What must exist before this resource."""

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        """Resources that this one brings into being (``derived_from`` is filled by the caller)."""

    def exists(self, name: str, live: Live) -> bool:
        """Is there such an object, ours or not?"""

    def observe(self, name: str, world: World) -> Observed | None:
        """The live object of this name in typed form, None when it is absent."""

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        """Names and marks of all live objects that carry our mark for this kind."""

    def foreign(self, live: Live) -> Iterable[str]:
        """Names of live objects of this kind that somebody else made."""

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        """What to do. ``want`` None: prune ``have`` (the gates were asked). Never raises on user input."""

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        """Conditions beside Ready that the live state justifies (Degraded, RestartRequired …)."""
