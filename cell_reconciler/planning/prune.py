"""What carries our mark and is declared no more: it is deleted, but only when every gate is open.

The gates (DESIGN §5): prune is switched on; every document is valid and was read; the specs are not empty; every
source answered; and at most ``LIMIT`` objects or ``SHARE`` of what we own go in one pass. A derived object (an
access bridge that a VM's interface brought into being) goes when nobody needs it, whether prune is on or not.
"""

from __future__ import annotations

from collections.abc import Iterable

from cell_reconciler.kinds import KINDS, kind, present
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.world import without_domains
from cell_reconciler.model.change import Cause, Change, Refusal, Verb
from cell_reconciler.model.document import Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from cell_reconciler.planning.gates import permission
from cell_reconciler.planning.policy import Policy

LIMIT = 5
SHARE = 0.20


def orphans(loaded: Loaded, world: World) -> tuple[dict[Key, Mark], int]:
    """Objects of ours that no document declares here, and how many objects are ours in all."""
    found: dict[Key, Mark] = {}
    total = 0
    for name in present(world.live):
        for obj, mark in kind(name).owned(world.live):
            total += 1
            key = Key(name, obj)
            if key not in loaded.documents:
                found[key] = mark
    return found, total


def closed_gate(loaded: Loaded, world: World, count: int, total: int) -> Refusal | None:
    """The first gate that is closed, or None."""
    if not loaded.complete or loaded.stale:
        return _blocked("a document is invalid", "mend what `cellctl validate` reports")
    if not loaded.documents:
        return _blocked("no document counts on this host", "an empty directory never deletes anything")
    if world.live.gaps:
        gap = world.live.gaps[0]
        return _blocked(f"{gap.source} did not answer: {gap.reason}", "prune waits until every source answers")
    if count > max(LIMIT, int(total * SHARE)):
        return Refusal(
            reason="PruneLimit",
            message=f"{count} of {total} owned objects would go; at most {LIMIT} or {SHARE:.0%} in one pass",
            advice="delete in smaller steps, so that a lost directory cannot take the host with it",
        )
    return None


def _blocked(message: str, advice: str) -> Refusal:
    return Refusal(reason="PruneBlocked", message=message, advice=advice, waiting=True)


def prune(loaded: Loaded, world: World, policy: Policy, planned: Iterable[Change] = ()) -> list[Change]:
    """One change for each orphan: its deletion, the reason why not, or (prune off) a note.

    ``planned``: the changes of what is declared; a VM among them that moves away uses its old bridge no more.
    """
    found, total = orphans(loaded, world)
    doomed = {key for key, mark in found.items() if policy.prune or mark.derived}
    gate = closed_gate(loaded, world, len(doomed), total)
    changes = []
    world = without_domains(world, _leaving(planned, world))
    for key in sorted(found, key=lambda key: (-list(KINDS).index(key.kind), key)):  # users before what they use
        if key not in doomed:
            note = "no document declares it any more; it stays, since prune is off"
            changes.append(Change(key=key, verb=Verb.NONE, cause=Cause.PRUNE, notes=(note,)))
        elif found[key].protected:
            note = "no document declares it any more; it stays, since it is protected"
            changes.append(Change(key=key, verb=Verb.NONE, cause=Cause.PRUNE, notes=(note,)))
        elif gate is not None:
            changes.append(Change(key=key, verb=Verb.DELETE, cause=Cause.PRUNE, refused=(gate,)))
        else:
            have = kind(key.kind).observe(key.name, world)
            if have is not None:
                change = permission(kind(key.kind).plan(None, have, world), policy.allow)
                changes.append(change)
                world = without_domains(world, _leaving([change], world))
    return changes


def _leaving(changes: Iterable[Change], world: World) -> set[str]:
    """Domains that, when their change is made, hold nothing any more but what their document says."""
    return {
        change.key.name
        for change in changes
        if change.key.kind == "VirtualMachine"
        and change.steps
        and not change.refused
        and not change.pending
        and change.key.name in world.live.domains
    }
