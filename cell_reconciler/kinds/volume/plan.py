"""What is to be done for a volume. Pure.

What must be known of a volume when its document is gone, stands beside its mark: the reclaim policy, and the host
that made it. A pool may be shared, so a volume is only pruned by that host: on all others it may never have been
declared at all.
"""

from __future__ import annotations

from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.volume import room, source
from cell_reconciler.kinds.volume.actions import Create, Grow, GrowOnline, Remove, SetMark, Trash
from cell_reconciler.kinds.volume.spec import ReclaimPolicy, VolumeSpec
from cell_reconciler.kinds.volume.usage import opened, users
from cell_reconciler.model.change import Action, Cause, Change, FieldChange, Refusal, Step, Verb
from cell_reconciler.model.document import Document, spec_digest
from cell_reconciler.model.document import mark_of as document_mark
from cell_reconciler.model.fields import UNSET, Effect
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Image, Live, Source
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Bytes
from cell_reconciler.model.storage import PoolTarget

KIND = "Volume"
POLICY, HOST = "reclaimPolicy", "host"  # the notes beside the mark


def mark_of(image: Image) -> Mark | None:
    """Our mark, if it is about this volume: a clone or a renamed image is somebody else's."""
    mark = Mark.parse(image.mark)
    return mark if mark is not None and mark.owner == Key(KIND, image.name) else None


def policy_of(image: Image) -> ReclaimPolicy:
    """As it was last declared; what cannot be read is kept."""
    text = image.detail.get(POLICY)
    return ReclaimPolicy(text) if text in set(ReclaimPolicy) else ReclaimPolicy.RETAIN


def prunable(image: Image, live: Live) -> bool:
    """May this host ever delete it, once its document is gone?"""
    ours = mark_of(image) is not None and image.detail.get(HOST) == live.host
    return ours and policy_of(image) != ReclaimPolicy.RETAIN


def converge(doc: Document, have: Observed | None, world: World) -> Change:
    """The change that brings the volume to its document."""
    spec: VolumeSpec = doc.spec
    target = world.pools.get(spec.pool)
    if target is None:
        waits = Refusal(reason="DependencyNotReady", message=f"StoragePool/{spec.pool} is not declared", waiting=True)
        return Change(key=doc.key, verb=Verb.NONE, refused=(waits,), position=doc.position)
    if have is None:
        lost = _lost(doc, target, world.live) or _sourceless(spec, target, world.live) or room.refusal(doc, world)
        if lost is not None:
            return Change(key=doc.key, verb=Verb.CREATE, refused=(lost,), position=doc.position)
        return _create(doc, spec, target, world.host)
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


def _create(doc: Document, spec: VolumeSpec, target: PoolTarget, host: str) -> Change:
    origin = source.origin(spec)
    action = Create(
        target=target,
        name=doc.key.name,
        size=int(spec.size),
        mark=document_mark(doc, spec_digest(spec)),
        notes={POLICY: spec.reclaim_policy.value, HOST: host},
        origin=origin,
    )
    text = f"create {spec.size.to_text()} volume {doc.key.name} in {spec.pool}{source.text(origin)}"
    step = _step(doc, "volume.create", text, action)
    fields = compare(spec, UNSET)
    return Change(key=doc.key, verb=Verb.CREATE, fields=fields, steps=(step,), position=doc.position)


def _update(doc: Document, spec: VolumeSpec, have: Observed, target: PoolTarget, world: World) -> Change:
    fields = (*compare(spec, have.spec, ignored=doc.ignored), *_policy(doc, spec, have))
    acted = {change.path for change in fields if not change.ignored}
    refused = _refusals(spec, have.spec, acted)
    if "spec.size" in acted and not refused and (away := _libvirt_away(world.live)) is not None:
        refused = (away,)  # by whom it is grown depends on who has it open
    if "spec.size" in acted and not refused and (full := room.refusal(doc, world)) is not None:
        refused = (full,)
    marks = have.mark is not None and have.mark.flags != _mark(doc, spec, have).flags
    verb = Verb.ADOPT if have.mark is None else Verb.UPDATE if acted or marks else Verb.NONE
    steps = () if refused else tuple(_steps(doc, spec, have, target, world, acted))
    return Change(key=doc.key, verb=verb, fields=fields, steps=steps, refused=refused, position=doc.position)


def _mark(doc: Document, spec: VolumeSpec, have: Observed) -> Mark:
    return document_mark(doc, spec_digest(spec), adopted=have.mark is None or have.mark.adopted)


def _policy(doc: Document, spec: VolumeSpec, have: Observed) -> tuple[FieldChange, ...]:
    """A policy has no counterpart in the image but the note that we wrote there."""
    held: VolumeSpec = have.spec
    if have.mark is None or held.reclaim_policy == spec.reclaim_policy:
        return ()
    change = FieldChange(
        path="spec.reclaimPolicy",
        have=held.reclaim_policy.value,
        want=spec.reclaim_policy.value,
        effect=Effect.POLICY,
        ignored="/spec/reclaimPolicy" in doc.ignored,
    )
    return (change,)


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
) -> list[Step]:
    name = doc.key.name
    steps = []
    mark = _mark(doc, spec, have)
    if have.mark is None or acted or have.mark.flags != mark.flags:
        policy = have.spec.reclaim_policy if f"/spec/{POLICY}" in doc.ignored and have.mark else spec.reclaim_policy
        notes = {POLICY: policy.value, HOST: have.detail.detail.get(HOST, world.host)}
        op, text = (
            ("volume.adopt", "take over volume") if have.mark is None else ("volume.mark", "note policy of volume")
        )
        steps.append(_step(doc, op, f"{text} {name}", SetMark(target=target, name=name, mark=mark, notes=notes)))
    if "spec.size" in acted:
        vm = opened(target, name, world.live)
        grow = (
            GrowOnline(target=target, name=name, size=int(spec.size), vm=vm[0], device=vm[1])
            if vm
            else Grow(target=target, name=name, size=int(spec.size))
        )
        text = f"grow volume {name} from {have.spec.size.to_text()} to {spec.size.to_text()}"
        text += f", in running VM {vm[0]} as well" if vm else ""
        steps.append(_step(doc, "volume.grow", text, grow))
    return steps


def prune(have: Observed, world: World) -> Change:
    """Retain: nothing, and nothing to report as a difference. Otherwise the data goes, if nobody uses it."""
    image: Image = have.detail
    if not prunable(image, world.live):
        why = (
            f"reclaimPolicy is {policy_of(image)}"
            if policy_of(image) == ReclaimPolicy.RETAIN
            else "another host made it"
        )
        return Change(key=have.key, verb=Verb.NONE, cause=Cause.PRUNE, notes=(f"Retained: {why}; the data stays",))
    refusal = _objection(image, world)
    if refusal is not None:
        return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, refused=(refusal,))
    target = world.pools[image.pool]
    trash = policy_of(image) == ReclaimPolicy.TRASH
    action: Action = (Trash if trash else Remove)(target=target, name=image.name)
    text = (
        f"move volume {image.name} of {image.pool} to the trash"
        if trash
        else f"delete volume {image.name} of {image.pool}"
    )
    step = Step(key=have.key, op="volume.trash" if trash else "volume.delete", text=text, action=action, deletes=True)
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


def observed(image: Image) -> Observed:
    """An image in the terms of the kind."""
    spec = VolumeSpec(pool=image.pool, size=Bytes(image.size), reclaim_policy=policy_of(image))
    key = Key(KIND, image.name)
    return Observed(
        key=key, spec=spec, mark=mark_of(image), refs=frozenset({Key("StoragePool", image.pool)}), detail=image
    )


def _step(doc: Document, op: str, text: str, action: Action) -> Step:
    return Step(key=doc.key, op=op, text=text, action=action)
