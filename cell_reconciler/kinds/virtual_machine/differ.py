"""What differs between a document and a domain: once against what is defined, once against what runs.

A field is settled when both agree with the document. One that is defined rightly and not running so is *pending*:
it takes effect at the next start. Fields of effect LIVE are changed in the running instance as well, so they are
never pending.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import (
    baseline,
    choice,
    effects,
    guest_drivers,
    observe,
    passwords,
    resolve,
    seed,
    sources,
)
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.update import MachineChange
from cell_reconciler.model.change import FieldChange
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import Effect, given_paths
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark


class Differences(NamedTuple):
    """By path. ``define`` differs in the definition; ``live`` can be changed in the running instance at once;
    ``boot`` differs in the running instance and needs a restart. Ignored fields are only in ``fields``.

    ``board``: another machine type, which needs permission. Of a VM of ours all that would come with it is ``held``,
    and what can be changed at once goes on.
    """

    want: VirtualMachineSpec
    define: dict[str, FieldChange]
    live: dict[str, FieldChange]
    boot: dict[str, FieldChange]
    ignored: tuple[FieldChange, ...]
    module: int = 0  # bytes of memory that are plugged in, where ``live`` has its size
    board: FieldChange | None = None
    held: tuple[FieldChange, ...] = ()

    @property
    def any(self) -> bool:
        return bool(self.define or self.live or self.boot or self.ignored or self.held)

    @property
    def immutable(self) -> tuple[FieldChange, ...]:
        return tuple(c for c in self.define.values() if c.effect == Effect.IMMUTABLE)

    @property
    def fields(self) -> tuple[FieldChange, ...]:
        """Every difference once, in the order of the fields; what needs a restart is pending."""
        merged = {**self.boot, **self.define, **self.live}
        paths = [*self.define, *(p for p in (*self.live, *self.boot) if p not in self.define)]
        fields = (msgspec.structs.replace(merged[path], pending=path in self.boot) for path in dict.fromkeys(paths))
        return (*fields, *self.held, *self.ignored)


def wanted(doc: Document, world: World) -> VirtualMachineSpec:
    """What the domain should be, with every drive that comes from elsewhere; that of cloud-init is the last."""
    want = guest_drivers.with_drive(resolve.defined(doc, world.documents), doc, world)
    return seed.with_drive(want, doc, world)


def digest(doc: Document, world: World) -> str:
    """Of what the documents say of the VM: its own, and the Cluster's where that one counts."""
    said = baseline.resolved(doc.spec, world.documents)
    return resolve.digest(guest_drivers.with_drive(said, doc, world))


def known(doc: Document, world: World) -> observe.Known:
    """What the document's words mean on this host."""
    want = wanted(doc, world)
    chosen = choice.chosen(doc.key.name, world)
    return observe.Known(want, sources.wanted(want, world), world.pools, chosen, world.live.cpus)


def differences(doc: Document, domain: Domain, mark: Mark | None, world: World) -> Differences:
    """Compare a persistent domain with its document; only owned fields."""
    words = known(doc, world)
    adopted = doc.adopts or bool(mark and mark.adopted)
    named = frozenset(given_paths(doc.given)) if adopted else None
    have, active = observe.configured(domain, words), observe.running(domain, words)
    want = words.want
    if want is None:
        raise ValueError("a document has a spec")
    ignored = seed.ignored(doc.ignored, want)
    named = None if named is None else seed.named(named, want)

    def changes(side: VirtualMachineSpec | None) -> Iterable[FieldChange]:
        if side is None or resolve.same(want, side):
            return ()
        found = compare(want, side, named=named, ignored=ignored)
        return found if not adopted else (c for c in found if not _strangers(c, domain))

    configured = [*changes(have), *passwords.configured(doc, domain, named, world)]
    running = [] if active is None else effects.told(changes(active), want, active, domain, words.sources)
    running += passwords.running(doc, domain, named, world)
    apart = [c for c in (*configured, *running) if c.ignored]
    live = {c.path: c for c in running if not c.ignored and c.effect == Effect.LIVE}
    boot = {c.path: c for c in running if not c.ignored and c.effect not in (Effect.LIVE, Effect.IMMUTABLE)}
    define = {c.path: c for c in configured if not c.ignored}
    module = effects.module(want, active, domain) if active is not None and "spec.memory.guest" in live else 0
    found = Differences(want, define, live, boot, tuple({c.path: c for c in apart}.values()), module)
    return _with_permission(found, domain, ours=mark is not None)


def _with_permission(found: Differences, domain: Domain, *, ours: bool) -> Differences:
    """Another board than it has needs permission. Back to the one that it runs on is no such change."""
    board = found.define.get("spec.machine.type")
    back = domain.active is not None and "spec.machine.type" not in found.boot
    if board is None or back or found.want.update_policy.machine == MachineChange.CHANGE:
        return found
    if not ours:
        return found._replace(board=board)
    goes_on = {p: c for p, c in found.define.items() if p in found.live or c.effect == Effect.IMMUTABLE}
    waiting = {path: change for path, change in found.boot.items() if path not in found.define}
    held = tuple(change for path, change in found.define.items() if path not in goes_on)
    return found._replace(define=goes_on, boot=waiting, board=board, held=held)


def _strangers(change: FieldChange, domain: Domain) -> bool:
    """Is it a device of an adopted domain that the document does not name and that we did not plug in?"""
    if change.want is not None or not change.path.endswith("]"):
        return False
    name = change.path.rpartition("[")[2].rstrip("]")
    texts = [text for text in (domain.inactive, domain.active) if text]
    return not any(name in observe.parsed(text).aliased for text in texts)
