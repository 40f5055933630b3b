"""What is to be done for a volume. Pure.

What must be known of a volume when its document is gone, stands beside its mark: the reclaim policy, and the host
that made it. A pool may be shared, so a volume is only pruned by that host: on all others it may never have been
declared at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cell_reconciler.kinds.compare import compare, covered
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.volume import notes, room, settings, source, trash, upkeep
from cell_reconciler.kinds.volume.actions import Create, Grow, GrowOnline, Remove, SetMark, Settings, Trash
from cell_reconciler.kinds.volume.spec import ReclaimPolicy, VolumeSpec
from cell_reconciler.kinds.volume.usage import opened, users
from cell_reconciler.model.change import Action, Cause, Change, Refusal, Step, Verb
from cell_reconciler.model.document import Document, spec_digest
from cell_reconciler.model.document import mark_of as document_mark
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Image, Live, Source
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Bytes
from cell_reconciler.model.storage import PoolTarget

KIND = "Volume"


def mark_of(image: Image) -> Mark | None:
    """Our mark, if it is about this volume: a clone or a renamed image is somebody else's."""
    mark = Mark.parse(image.mark)
    return mark if mark is not None and mark.owner == Key(KIND, image.name) else None


def prunable(image: Image, live: Live) -> bool:
    """May this host ever delete it, once its document is gone?"""
    ours = mark_of(image) is not None and image.detail.get(notes.HOST) == live.host
    return ours and notes.policy(image) != ReclaimPolicy.RETAIN


def converge(doc: Document, have: Observed | None, world: World) -> Change:
    """The change that brings the volume to its document."""
    spec: VolumeSpec = doc.spec
    target = world.pools.get(spec.pool)
    if target is None:
        waits = Refusal(reason="DependencyNotReady", message=f"StoragePool/{spec.pool} is not declared", waiting=True)
        return Change(key=doc.key, verb=Verb.NONE, refused=(waits,), position=doc.position)
    if have is None:
        live = world.live
        lost = trash.lies_there(doc, target, live) or _lost(doc, target, live) or _sourceless(spec, target, live)
        lost = lost or room.refusal(doc, world)
        if lost is not None:
            return Change(key=doc.key, verb=Verb.CREATE, refused=(lost,), position=doc.position)
        return _create(doc, spec, target, world)
    if have.mark is None and not doc.adopts:
        foreign = Refusal(
            reason="Foreign",
            message=f"{target.place} has an image {doc.key.name} that is not ours",
            advice="annotate the document with cell/adopt: 'true' to take it over, or choose another name",
        )
        return Change(key=doc.key, verb=Verb.CREATE, refused=(foreign,), position=doc.position)
    return _update(doc, spec, have, target, world)


def _lost(doc: Document, target: PoolTarget, live: Live) -> Refusal | None:
    """A domain that has the disk already had data: a file system is not mounted, or somebody deleted it.

    An empty disk in its place would look like the data to the VM, and hide it once it is back.
    """
    away = _libvirt_away(live)
    domains = users(target, doc.key.name, live)
    if away is not None or not domains:
        return away
    return Refusal(
        reason="DataMissing",
        message=f"{', '.join(domains[:3])} has this disk, and {target.place} has no {doc.key.name}",
        advice="mount or restore what is missing; to begin with an empty disk, take it off the domain first",
    )


def _sourceless(spec: VolumeSpec, target: PoolTarget, live: Live) -> Refusal | None:
    """An image that no document declares is there, or somebody has to bring it."""
    clone = spec.source.clone if spec.source else None
    if not clone or not clone.image or f"{spec.pool}/{clone.image}" in live.images:
        return None
    return Refusal(
        reason="DependencyNotReady",
        message=f"{target.place} has no image {clone.image} to clone",
        waiting=True,
    )


def _libvirt_away(live: Live) -> Refusal | None:
    gap = live.gap(Source.LIBVIRT)
    if gap is None:
        return None
    message = f"whether a VM uses it is unknown: libvirt is unreachable: {gap.reason}"
    return Refusal(reason="Unknown", message=message, waiting=True)


def _create(doc: Document, spec: VolumeSpec, target: PoolTarget, world: World) -> Change:
    origin = source.origin(spec)
    action = Create(
        target=target,
        name=doc.key.name,
        size=int(spec.size),
        mark=document_mark(doc, spec_digest(spec)),
        notes=notes.of(spec, world.host, spec.settings),
        room=room.of(world),
        origin=origin,
    )
    text = f"create {spec.size.to_text()} volume {doc.key.name} in {spec.pool}{source.text(origin)}"
    steps = [_step(doc, "volume.create", text, action)]
    if spec.settings:
        steps.append(_settings(doc, target, settings.to_set(spec.settings, {}), ()))
    steps += upkeep.steps(doc, None, target, world.live.at)
    fields = tuple(change for change in compare(spec, UNSET) if change.want != {})
    return Change(key=doc.key, verb=Verb.CREATE, fields=fields, steps=tuple(steps), position=doc.position)


def _update(doc: Document, spec: VolumeSpec, have: Observed, target: PoolTarget, world: World) -> Change:
    noted = notes.differences(doc, have.spec) if have.mark is not None else ()
    fields = (*compare(spec, have.spec, ignored=doc.ignored), *noted)
    acted = {change.path for change in fields if not change.ignored}
    refused = _refusals(spec, have.spec, acted)
    if "spec.size" in acted and not refused and (away := _libvirt_away(world.live)) is not None:
        refused = (away,)  # by whom it is grown depends on who has it open
    if "spec.size" in acted and not refused and (full := room.refusal(doc, world)) is not None:
        refused = (full,)
    steps = () if refused else tuple(_steps(doc, spec, have, target, world, acted))
    changes = bool(acted) or any(not step.upkeep for step in steps)
    verb = Verb.ADOPT if have.mark is None else Verb.UPDATE if changes else Verb.NONE
    return Change(key=doc.key, verb=verb, fields=fields, steps=steps, refused=refused, position=doc.position)


def _mark(doc: Document, spec: VolumeSpec, have: Observed) -> Mark:
    return document_mark(doc, spec_digest(spec), adopted=have.mark is None or have.mark.adopted)


def _refusals(spec: VolumeSpec, have: VolumeSpec, acted: set[str]) -> tuple[Refusal, ...]:
    if "spec.pool" in acted:
        moved = Refusal(
            reason="Immutable",
            message=f"the volume is in pool {have.pool} and does not move to {spec.pool}",
            advice=f"set pool back to {have.pool}, or declare a new Volume in {spec.pool} and copy the data",
        )
        return (moved,)
    if "spec.size" in acted and spec.size < have.size:
        shrink = Refusal(
            reason="Shrink",
            message=f"the volume has {have.size.to_text()} and never shrinks to {spec.size.to_text()}",
            advice=f"set size to {have.size.to_text()}, or declare a new Volume and copy the data in the guest",
        )
        return (shrink,)
    return ()


def _steps(
    doc: Document, spec: VolumeSpec, have: Observed, target: PoolTarget, world: World, acted: set[str]
) -> Iterator[Step]:
    """The mark first: a setting must be known as ours before it is one. What was unset is forgotten last."""
    image: Image = have.detail
    mark = _mark(doc, spec, have)
    effective = notes.effective(doc, have.spec) if have.mark is not None else spec
    setting = "spec.settings" in acted
    wanted = spec.settings if setting or not covered("/spec/settings", frozenset(doc.ignored)) else have.spec.settings
    unset = settings.to_unset(spec.settings, have.spec.settings) if setting else ()
    host = image.detail.get(notes.HOST, world.host)
    before, after = (notes.of(effective, host, names) for names in ({*wanted, *unset}, wanted))
    stale = have.mark is not None and (have.mark.flags != mark.flags or not notes.same(image, after))
    if have.mark is None or acted or stale:
        yield _marking(doc, target, mark, before, adopt=have.mark is None)
    if setting:
        yield _settings(doc, target, settings.to_set(spec.settings, have.spec.settings), unset)
    if unset:
        yield _marking(doc, target, mark, after)
    if "spec.size" in acted:
        yield _grow(doc, spec, have, target, world)
    yield from upkeep.steps(doc, have, target, world.live.at)


def _marking(doc: Document, target: PoolTarget, mark: Mark, noted: dict[str, str], *, adopt: bool = False) -> Step:
    op, text = ("volume.adopt", "take over volume") if adopt else ("volume.mark", "note policy of volume")
    action = SetMark(target=target, name=doc.key.name, mark=mark, notes=noted)
    return _step(doc, op, f"{text} {doc.key.name}", action)


def _settings(doc: Document, target: PoolTarget, values: dict[str, str], unset: tuple[str, ...]) -> Step:
    words = [f"{name}={value}" for name, value in values.items()] + [f"no {name}" for name in unset]
    action = Settings(target=target, name=doc.key.name, values=values, unset=unset)
    return _step(doc, "volume.settings", f"set volume {doc.key.name}: {', '.join(words)}", action)


def _grow(doc: Document, spec: VolumeSpec, have: Observed, target: PoolTarget, world: World) -> Step:
    name = doc.key.name
    vm = opened(target, name, world.live)
    facts: dict[str, Any] = {"target": target, "name": name, "size": int(spec.size), "room": room.of(world)}
    grow = GrowOnline(**facts, vm=vm[0], device=vm[1]) if vm else Grow(**facts)
    text = f"grow volume {name} from {have.spec.size.to_text()} to {spec.size.to_text()}"
    text += f", in running VM {vm[0]} as well" if vm else ""
    return _step(doc, "volume.grow", text, grow)


def prune(have: Observed, world: World) -> Change:
    """Retain: nothing, and nothing to report as a difference. Otherwise the data goes, if nobody uses it."""
    image: Image = have.detail
    if not prunable(image, world.live):
        why = (
            f"reclaimPolicy is {notes.policy(image)}"
            if notes.policy(image) == ReclaimPolicy.RETAIN
            else "another host made it"
        )
        return Change(key=have.key, verb=Verb.NONE, cause=Cause.PRUNE, notes=(f"Retained: {why}; the data stays",))
    refusal = _objection(image, world)
    if refusal is not None:
        return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, refused=(refusal,))
    target = world.pools[image.pool]
    op, text = "volume.delete", "delete volume {}"
    action: Action = Remove(target=target, name=image.name)
    if notes.policy(image) == ReclaimPolicy.TRASH:
        seconds = notes.trash_for(image)
        op, text = "volume.trash", f"move volume {{}} to the trash for {seconds.to_text()}"
        action = Trash(target=target, name=image.name, seconds=seconds)
    what = f"{image.name} of {image.pool}"
    step = Step(key=have.key, op=op, text=text.format(what), action=action, deletes=True)
    return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=(step,))


def _objection(image: Image, world: World) -> Refusal | None:
    target = world.pools.get(image.pool)
    if target is None:
        message = f"StoragePool/{image.pool} is not declared any more"
        return Refusal(reason="DependencyNotReady", message=message, advice="declare it until its volumes are gone")
    away = _libvirt_away(world.live)
    if away is not None:
        return away
    domains = users(target, image.name, world.live)
    if domains:
        message = f"{', '.join(domains[:3])} still {'uses' if len(domains) == 1 else 'use'} it"
        return Refusal(reason="InUse", message=message, advice="take the disk off the VM first", waiting=True)
    return None


def observed(image: Image, doc: Document | None = None) -> Observed:
    """An image in the terms of the kind, as far as possible in the words of its document."""
    spec = VolumeSpec(
        pool=image.pool,
        size=Bytes(image.size),
        reclaim_policy=notes.policy(image),
        trash_for=notes.trash_for(image),
        snapshots=notes.schedule(image),
        settings=settings.observed(image, doc.spec if doc is not None else None),
    )
    key = Key(KIND, image.name)
    return Observed(
        key=key, spec=spec, mark=mark_of(image), refs=frozenset({Key("StoragePool", image.pool)}), detail=image
    )


def _step(doc: Document, op: str, text: str, action: Action) -> Step:
    return Step(key=doc.key, op=op, text=text, action=action)
