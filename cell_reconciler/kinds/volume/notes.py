"""What stands beside the mark of a volume: what has to be known of it when its document is gone, or before it is read.

The fields of the document that have no counterpart in the image are compared with these notes. The driver reads the
snapshots and settings of those images only that have a note about them, so that the others cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from cell_reconciler.kinds.compare import covered, plain
from cell_reconciler.kinds.volume.schedule import Schedule
from cell_reconciler.kinds.volume.spec import TRASH_FOR, ReclaimPolicy, VolumeSpec
from cell_reconciler.model.change import FieldChange
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, Effect, UnsetType, decode, encode
from cell_reconciler.model.live import Image
from cell_reconciler.model.quantities import Duration
from cell_reconciler.model.storage import NOTED_SETTINGS, NOTED_SNAPSHOTS

POLICY, HOST, TRASH = "reclaimPolicy", "host", "trashFor"
ALL = (POLICY, HOST, TRASH, NOTED_SNAPSHOTS, NOTED_SETTINGS)
_FIELDS = ("reclaim_policy", "trash_for", "snapshots")  # of VolumeSpec, that stand in notes only


def policy(image: Image) -> ReclaimPolicy:
    """As it was last declared; what cannot be read is kept."""
    text = image.detail.get(POLICY)
    return ReclaimPolicy(text) if text in set(ReclaimPolicy) else ReclaimPolicy.RETAIN


def trash_for(image: Image) -> Duration:
    try:
        return Duration.parse(image.detail.get(TRASH, TRASH_FOR.to_text()))
    except (ValueError, TypeError):
        return TRASH_FOR


def schedule(image: Image) -> Schedule | UnsetType:
    try:
        return msgspec.json.decode(image.detail.get(NOTED_SNAPSHOTS, ""), type=Schedule, dec_hook=decode)
    except (msgspec.DecodeError, TypeError):
        return UNSET


def settings(image: Image) -> frozenset[str]:
    """Names of the settings that are ours."""
    return frozenset(filter(None, str(image.detail.get(NOTED_SETTINGS, "")).split(",")))


def of(spec: VolumeSpec, host: str, owned: Iterable[str]) -> dict[str, str]:
    """The notes of a document. ``owned``: names of settings. Defaults are not written."""
    notes = {POLICY: spec.reclaim_policy.value, HOST: host}
    if spec.trash_for != TRASH_FOR:
        notes[TRASH] = spec.trash_for.to_text()
    if spec.snapshots is not UNSET:
        notes[NOTED_SNAPSHOTS] = msgspec.json.encode(spec.snapshots, enc_hook=encode, order="sorted").decode()
    if owned := sorted(owned):
        notes[NOTED_SETTINGS] = ",".join(owned)
    return notes


def restored(held: Mapping[str, str]) -> dict[str, str]:
    """Of a volume that comes back from the trash: no document says that it may go."""
    return {**{key: value for key, value in held.items() if key != TRASH}, POLICY: ReclaimPolicy.RETAIN.value}


def same(image: Image, wanted: Mapping[str, str]) -> bool:
    """Are these the notes of the image? What means the default may stand there or not."""
    held = {key: image.detail[key] for key in ALL if key in image.detail}
    return held == wanted or (held.pop(TRASH, None) == TRASH_FOR.to_text() and held == wanted)


def differences(doc: Document, have: VolumeSpec) -> tuple[FieldChange, ...]:
    """Of the fields that have no counterpart in the image but the note."""
    found = []
    for name in _FIELDS:
        wanted, held, yaml = getattr(doc.spec, name), getattr(have, name), yaml_name(name)
        if wanted != held:
            ignored = covered(f"/spec/{yaml}", frozenset(doc.ignored))
            found.append(
                FieldChange(
                    path=f"spec.{yaml}", have=plain(held), want=plain(wanted), effect=Effect.POLICY, ignored=ignored
                )
            )
    return tuple(found)


def effective(doc: Document, have: VolumeSpec) -> VolumeSpec:
    """The document with what ``cell/ignore`` leaves as it is."""
    kept = {
        name: getattr(have, name) for name in _FIELDS if covered(f"/spec/{yaml_name(name)}", frozenset(doc.ignored))
    }
    changed: VolumeSpec = msgspec.structs.replace(doc.spec, **kept)
    return changed


def yaml_name(name: str) -> str:
    """As documents spell the field."""
    return next(field.encode_name for field in msgspec.structs.fields(VolumeSpec) if field.name == name)
