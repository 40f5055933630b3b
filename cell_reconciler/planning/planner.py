"""Asks every kind about every resource, applies the gates and orders the steps."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

import msgspec

from cell_reconciler.kinds import KINDS, kind, present
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.world import build
from cell_reconciler.model.change import Cause, Change, Plan, Refusal, Verb
from cell_reconciler.model.document import Document, Loaded, spec_digest
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.planning import gates
from cell_reconciler.planning.order import Circle, order
from cell_reconciler.planning.policy import Policy, with_ignore_rules
from cell_reconciler.planning.prune import prune


def make_plan(host: str, loaded: Loaded, live: Live, policy: Policy, only: Collection[Key] | None = None) -> Plan:
    """The plan for this host. ``only``: consider these keys, what they refer to, and nothing else."""
    world = build(host, loaded.documents, live)
    keys = sorted(loaded.documents, key=_rank) if only is None else sorted(_closure(only, world), key=_rank)
    unknown: dict[Key, str] = {}
    changes: list[Change] = []
    refers: dict[Key, tuple[Key, ...]] = {}
    used: dict[Key, frozenset[Key]] = {}
    ours: set[Key] = set()
    for key in keys:
        document = with_ignore_rules(loaded.documents[key], policy.ignore)
        reason = _unknown(document, world)
        if reason:
            unknown[key] = reason
            continue
        refers[key] = tuple(r.target for r in kind(key.kind).references(document, world.documents))
        have = kind(key.kind).observe(key.name, world)
        used[key] = have.refs if have else frozenset()
        ours |= {key} if have is not None and have.mark is not None else set()
        changes.append(_gated(_change(document, have, world), document, policy))
    if only is None:
        changes += prune(loaded, world, policy, changes)
    changes = [gates.settings_known(change, loaded.settings_known) for change in changes]
    changes = [gates.unconfirmed(change, policy.unconfirmed) for change in changes]
    for change in changes:
        if change.cause == Cause.PRUNE:
            gone = kind(change.key.kind).observe(change.key.name, world)
            used[change.key] = gone.refs if gone else frozenset()
    foreign = {c.key for c in changes if _is_other(c, world)} - ours
    while True:
        changes = _possible(changes, refers, used, unknown, foreign, world)
        try:
            steps, edges, soft = order(changes, refers, used)
            break
        except Circle as circle:  # it is theirs alone: the rest of the host goes on
            changes = [_round(change, circle) for change in changes]
    return Plan(
        host=host,
        changes=tuple(changes),
        steps=steps,
        edges=edges,
        soft=soft,
        unknown=unknown,
        foreign=tuple(_foreign(world)) if only is None else (),
    )


def _round(change: Change, circle: Circle) -> Change:
    if change.key not in circle.keys or not change.steps:
        return change
    return gates.refuse(change, Refusal(reason="Circle", message=circle.message, advice=circle.advice))


def _is_other(change: Change, world: World) -> bool:
    """Is what has the name of a declared resource something else, which nobody takes over?"""
    refused = bool(change.refused) and not change.steps and not change.fields
    other = change.verb == Verb.NONE or any(refusal.reason == "Foreign" for refusal in change.refused)
    return refused and other and kind(change.key.kind).exists(change.key.name, world.live)


def live_digest(live: Live) -> str:
    """Moves when anything observed moves, but for what moves all the time: time, free space and pages, snapshots.

    What the node is does not count either: it may not be known yet when libvirtd has just started, and what depends on
    it is looked at again before a VM starts.
    """
    pools = {n: msgspec.structs.replace(p, available=None, capacity=None) for n, p in live.pools.items()}
    images = {n: msgspec.structs.replace(i, snapshots=None) if i.snapshots else i for n, i in live.images.items()}
    devices = live.devices and msgspec.structs.replace(live.devices, hugepages={})
    live = msgspec.structs.replace(live, pools=pools, images=images, devices=devices, at=None, node=None)
    return "sha256:" + hashlib.sha256(msgspec.json.encode(live, order="sorted")).hexdigest()


def _rank(key: Key) -> tuple[int, Key]:
    return list(KINDS).index(key.kind), key


def _closure(only: Collection[Key], world: World) -> set[Key]:
    """The keys and everything that they refer to, as far as it is declared."""
    found: set[Key] = set()
    queue = [key for key in only if key in world.documents]
    while queue:
        key = queue.pop()
        if key in found:
            continue
        found.add(key)
        refs = kind(key.kind).references(world.documents[key], world.documents)
        queue += [r.target for r in refs if r.target in world.documents]
    return found


def _unknown(document: Document, world: World) -> str:
    """Why nothing can be said about a resource; empty when its sources answered."""
    of = kind(document.key.kind)
    sources = of.sources_of(document, world.documents) if hasattr(of, "sources_of") else of.sources
    scope = of.scope_of(document) if hasattr(of, "scope_of") else ""
    for source in sorted(sources):
        gap = world.live.gap(source, scope)
        if gap is not None:
            return f"{source} is unreachable: {gap.reason}"
    return ""


def _change(document: Document, have: Observed | None, world: World) -> Change:
    of = kind(document.key.kind)
    change = of.plan(document, have, world)
    cause, mark = change.cause, have.mark if have is not None else None
    if change.fields and cause == Cause.SPEC and not getattr(of, "tells_cause", False):
        same = mark is not None and mark.digest == spec_digest(document.spec)
        cause = Cause.DRIFT if same else cause
    return msgspec.structs.replace(change, cause=cause, position=document.position, derived_from=document.derived_from)


def _gated(change: Change, document: Document, policy: Policy) -> Change:
    key = change.key
    if key in policy.suspended:
        return gates.suspended(change, policy.suspended[key])
    if key in policy.fighting:
        return gates.fighting(change, policy.fighting[key])
    if key in policy.rolled_back:
        return gates.rolled_back(change)
    return gates.permission(gates.protected(change, document), policy.allow)


def _possible(
    changes: list[Change],
    refers: Mapping[Key, Iterable[Key]],
    used: Mapping[Key, Collection[Key]],
    unknown: Mapping[Key, str],
    foreign: Collection[Key],
    world: World,
) -> list[Change]:
    """Without the steps of what waits, and of what waits for that."""
    while True:
        coming = {c.key for c in changes if c.steps}
        kept = [_dependable(c, refers.get(c.key, ()), unknown, coming, foreign, world) for c in changes]
        given = {token for change in kept for step in change.steps for token in step.gives}
        kept = _released([_waits(change, given) for change in kept], used)
        if kept == changes:
            return kept
        changes = kept


def _dependable(
    change: Change,
    refs: Iterable[Key],
    unknown: Mapping[Key, str],
    coming: Collection[Key],
    foreign: Collection[Key],
    world: World,
) -> Change:
    """A change whose dependency is neither there nor coming waits for it."""
    if not change.steps or change.verb == Verb.DELETE:
        return change
    for ref in refs:
        if ref in unknown:
            reason = unknown[ref]
        elif ref in foreign:
            reason = "it is declared, and what has that name is something else"
        elif ref in coming or kind(ref.kind).exists(ref.name, world.live) or _settings(ref):
            continue
        else:
            reason = "it does not exist and cannot be made now"
        refusal = Refusal(reason="DependencyNotReady", message=f"needs {ref}: {reason}", waiting=True)
        return gates.refuse(change, refusal)
    return change


def _released(changes: list[Change], used: Mapping[Key, Collection[Key]]) -> list[Change]:
    """A deletion waits for users of the object that do not let go of it: their own change is refused, or they stay,
    though no document declares them any more, since they are protected or were there before us."""
    stay = (
        change.key for change in changes if change.refused or (change.cause == Cause.PRUNE and not _deletes(change))
    )
    users = {key: user for user in stay for key in used.get(user, ())}
    return [
        gates.refuse(change, _still_used(change.key, users[change.key]))
        if change.key in users and _deletes(change)
        else change
        for change in changes
    ]


def _deletes(change: Change) -> bool:
    return bool(change.steps) and change.steps[-1].deletes


def _still_used(key: Key, user: Key) -> Refusal:
    message = f"{user} uses {key}, and stays or cannot let go of it now"
    return Refusal(reason="DependencyNotReady", message=message, waiting=True)


def _waits(change: Change, given: Collection[str]) -> Change:
    """A change that needs what another resource has to let go first waits while no step of the plan does that.

    Nobody lets go of it: it is not declared any more and pruning is off, or its own change was refused.
    """
    if change.verb == Verb.DELETE:
        return change  # such a one only says what has to go before it, if anything does
    needs = (token for step in change.steps for token in step.needs if not token.startswith("left:"))
    missing = [token for token in needs if token not in given]
    if not missing:
        return change
    what, _, name = missing[0].partition(":")
    said = {
        "free": "{} is still in use by something that stays",
        "up": "{} is down",
        "mtu": "the MTU of {} is too small",
    }
    message = said.get(what, f"nobody has the {what} {{}}").format(name)
    return gates.refuse(change, Refusal(reason="DependencyNotReady", message=message, waiting=True))


def _settings(key: Key) -> bool:
    return not kind(key.kind).sources


def _foreign(world: World) -> Iterable[Key]:
    for name in present(world.live):
        for obj in sorted(kind(name).foreign(world.live)):
            if Key(name, obj) not in world.documents:
                yield Key(name, obj)
