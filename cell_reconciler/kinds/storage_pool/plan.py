"""What is to be done for a pool. Pure."""

from __future__ import annotations

import msgspec

from cell_reconciler.drivers.ceph import how_to_make
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.storage_pool.actions import CreateDirectory, DeleteDirectory, DeleteSecret, KeepSecret
from cell_reconciler.kinds.storage_pool.target import secret_uuid, target
from cell_reconciler.model.change import Action, Cause, Change, FieldChange, Refusal, Step, Verb
from cell_reconciler.model.document import Document, spec_digest
from cell_reconciler.model.document import mark_of as document_mark
from cell_reconciler.model.fields import Effect
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Pool, Secret
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget

KIND = "StoragePool"


class Facts(msgspec.Struct, frozen=True):
    """``Observed.detail``: the place, and the libvirt secret that has the usage or the UUID of ours."""

    pool: Pool | None
    secret: Secret | None


def usage(pool: str) -> str:
    """Usage name of the libvirt secret of a pool."""
    return f"cell {pool}"


def facts(name: str, live: Live) -> Facts:
    secret = live.secrets.get(usage(name))
    if secret is None:
        secret = next((s for s in live.secrets.values() if s.uuid == secret_uuid(name)), None)
    return Facts(live.pools.get(name), secret)


def mark_of(name: str, found: Facts) -> Mark | None:
    """Our mark: in the directory that we made, or on the secret that we keep."""
    key = Key(KIND, name)
    if found.pool is not None and found.pool.backend == "directory":
        mark = Mark.parse(found.pool.mark)
        return mark if mark is not None and mark.owner == key else None
    if found.secret is None or (found.secret.uuid, found.secret.usage) != (secret_uuid(name), usage(name)):
        return None
    mark = Mark.parse(found.secret.description)
    return mark if mark is not None and mark.owner == key else None


def converge(doc: Document, live: Live) -> Change:
    """The change that makes the pool usable."""
    found = facts(doc.key.name, live)
    wanted = target(doc)
    if found.pool is None:
        waits = Refusal(reason="Unknown", message=f"{wanted.place} was not observed", waiting=True)
        return Change(key=doc.key, verb=Verb.NONE, refused=(waits,), position=doc.position)
    if wanted.backend == "rbd":
        return _rbd(doc, wanted, found.pool, found.secret)
    if found.pool.exists:
        return Change(key=doc.key, verb=Verb.NONE, position=doc.position)
    make = CreateDirectory(wanted, document_mark(doc, spec_digest(doc.spec)))
    step = _step(doc.key, "storagepool.create", f"make directory {wanted.path}", make)
    return Change(key=doc.key, verb=Verb.CREATE, steps=(step,), position=doc.position)


def _rbd(doc: Document, wanted: PoolTarget, pool: Pool, secret: Secret | None) -> Change:
    if not pool.exists:
        missing = Refusal(
            reason="PoolMissing",
            message=f"Ceph pool {wanted.place} does not exist",
            advice=f"let the administrator of the cluster run: {how_to_make(wanted)}",
        )
        return Change(key=doc.key, verb=Verb.CREATE, refused=(missing,), position=doc.position)
    if secret is not None and mark_of(doc.key.name, Facts(pool, secret)) is None:
        foreign = Refusal(
            reason="Foreign",
            message=f"libvirt secret {secret.uuid} (usage {secret.usage!r}) is not ours",
            advice=f"if no VM needs it: virsh secret-undefine {secret.uuid}",
        )
        return Change(key=doc.key, verb=Verb.UPDATE, refused=(foreign,), position=doc.position)
    held = Mark.parse(secret.description) if secret is not None else None
    marked = held is not None and held.flags == document_mark(doc, "").flags
    if secret is not None and marked and secret.digest == pool.detail.get("secret_digest"):
        return Change(key=doc.key, verb=Verb.NONE, position=doc.position)
    keep = KeepSecret(wanted, usage(doc.key.name), document_mark(doc, spec_digest(doc.spec)))
    text = f"keep the key of client.{wanted.user} in libvirt secret {wanted.secret_uuid}"
    return Change(
        key=doc.key,
        verb=Verb.UPDATE,
        fields=(_secret_change(wanted, secret),),
        steps=(_step(doc.key, "storagepool.secret", text, keep),),
        position=doc.position,
    )


def _secret_change(wanted: PoolTarget, secret: Secret | None) -> FieldChange:
    return FieldChange(
        path="spec.rbd.secret",
        have=None if secret is None or secret.digest is None else "another key",
        want=f"the key in {wanted.secret_file}",
        effect=Effect.LIVE,
        secret=True,
    )


def prune(have: Observed, world: World) -> Change:
    """Only what we made goes: the secret, or the directory once it is empty."""
    found: Facts = have.detail
    name = have.key.name
    if have.mark is None:
        return Change(key=have.key, verb=Verb.NONE, cause=Cause.PRUNE, notes=("not made by us; it stays",))
    if found.pool is not None and found.pool.backend == "directory":
        where = PoolTarget(name=name, backend="directory", path=found.pool.target)
        step = _step(
            have.key, "storagepool.delete", f"remove directory {where.path}", DeleteDirectory(where), deletes=True
        )
        return _prune(have, step, _held(name, world.live))
    uuid = secret_uuid(name)
    step = _step(have.key, "storagepool.delete", f"undefine libvirt secret {uuid}", DeleteSecret(uuid), deletes=True)
    return _prune(have, step, _users(uuid, world.live))


def _prune(have: Observed, step: Step, objection: str) -> Change:
    if objection:
        refusal = Refusal(reason="InUse", message=objection, advice="move or delete them first", waiting=True)
        return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, refused=(refusal,))
    return Change(key=have.key, verb=Verb.DELETE, cause=Cause.PRUNE, steps=(step,))


def _held(pool: str, live: Live) -> str:
    names = sorted(image.name for image in live.images.values() if image.pool == pool)
    return f"it holds {len(names)} volumes: {', '.join(names[:3])}" if names else ""


def _users(uuid: str, live: Live) -> str:
    names = sorted(d.name for d in live.domains.values() if uuid in (d.inactive or "") + (d.active or ""))
    return f"{len(names)} domains log in with it: {', '.join(names[:3])}" if names else ""


def _step(key: Key, op: str, text: str, action: Action, *, deletes: bool = False) -> Step:
    return Step(key=key, op=op, text=text, action=action, deletes=deletes)
