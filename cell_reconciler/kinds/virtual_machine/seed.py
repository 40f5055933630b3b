"""Data for cloud-init: ``spec.cloudInit`` becomes a CD-ROM drive whose medium is a NoCloud image that we make. Pure.

The drive stands among the VM's drives under a name that is reserved for it, so that all that is true of drives is true
of it: it is compared, defined and given another medium like any other. What is its own is which medium it should have.
The driver says which images there are, and how each compares with the document (``Live.seeds``); an image with the
declared content is taken, one in use before others, and else there will be one with a number that nothing ever had.

An image goes when no domain of the host names it any more. It is made before the domain names it, and a VM that is
removed loses its images before its definition; so whatever a killed run leaves is found again, by the VM's document,
by its domain, or by an image that has neither (``leftover``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cell_reconciler.kinds.compare import covered
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.secret import secret_file
from cell_reconciler.kinds.virtual_machine import observe, resolve, seed_actions
from cell_reconciler.kinds.virtual_machine.spec import Cdrom, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.seed import DRIVE
from cell_reconciler.model.change import FieldChange, Refusal, Step
from cell_reconciler.model.document import Document
from cell_reconciler.model.guest import META, NETWORK, USER, Seed, SeedTarget, Text
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.mark import Mark

PATH = "spec.cloudInit"
DRIVE_PATH = f"spec.cdroms[{DRIVE}]"
_NUMBER = re.compile(r"\.([0-9]+)\.iso(\.new)?\Z")
_FIELDS = {USER: f"{PATH}.userData", NETWORK: f"{PATH}.networkData", META: f"{PATH}.metaData"}


# -- what is wanted --------------------------------------------------------------------------------------------


# name → (spec as it stands in the document, its target): a document is asked several times a pass.
_targets: dict[str, tuple[VirtualMachineSpec, SeedTarget]] = {}
_REMEMBERED = 20_000


def target(doc: Document) -> SeedTarget | None:
    """What the image of a VM has to hold; None for a VM without one. The document has passed ``check``."""
    if not doc.spec.cloud_init:
        return None
    before, found = _targets.get(doc.key.name, (None, None))
    if before is doc.spec:
        return found
    if len(_targets) >= _REMEMBERED:
        _targets.clear()
    found = _target(doc)
    _targets[doc.key.name] = (doc.spec, found)
    return found


def _target(doc: Document) -> SeedTarget:
    spec = resolve.effective(doc)
    data: Any = spec.cloud_init
    meta = {"instance-id": data.instance_id or spec.uuid, "local-hostname": doc.key.name, **data.meta_data}
    # JSON is YAML, and there is one way only to write it. A file of user data is there always: cloud-init wants it.
    files = {META: Text(text=json.dumps(meta, sort_keys=True, ensure_ascii=False) + "\n")}
    files[USER] = _text(data.user_data, data.user_data_from)
    if data.network_data is not None or data.network_data_from is not None:
        files[NETWORK] = _text(data.network_data, data.network_data_from)
    declared = hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()
    return SeedTarget(vm=doc.key.name, files=files, declared=declared)


def _text(text: Any, ref: Any) -> Text:
    return Text(file=secret_file(ref)) if ref is not None else Text(text=text or "")


def with_drive(want: VirtualMachineSpec, doc: Document, world: World) -> VirtualMachineSpec:
    """The spec with the drive of its image among its drives."""
    wanted = target(doc)
    if wanted is None:
        return want
    found, domain = world.live.seeds.get(wanted.vm, Seed()), world.live.domains.get(wanted.vm)
    drive = None if domain is None or domain.inactive is None else _among(observe.parsed(domain.inactive).spec)
    current = None if drive is None else drive.media
    if not found.error and (found.declared or drive is None):
        current = _medium(found, wanted, current, domain)
    elif drive is None:
        return want  # what should be in it is not known: it stays as it is
    made: Any = {"name": DRIVE, "bus": resolve.tray(want.machine), "media": current, "boot_order": None}  # effective
    return msgspec.structs.replace(want, cdroms=(*want.cdroms, Cdrom(**made)))


def _medium(found: Seed, wanted: SeedTarget, current: Any, domain: Domain | None) -> str:
    """The path of the image that the drive should have in it."""
    good = [] if found.declared != wanted.declared else [p for p, different in found.images.items() if not different]
    if good:
        return str(current) if current in good else max(good, key=_number)
    used = {*found.images, *(() if domain is None else observe.media(domain))}
    return f"{found.directory}/{wanted.vm}.{max(map(_number, used), default=0) + 1}.iso"


def _number(path: str) -> int:
    match = _NUMBER.search(path.rpartition("/")[2])
    return int(match[1]) if match else 0


def _among(spec: VirtualMachineSpec) -> Cdrom | None:
    return next((drive for drive in spec.cdroms if drive.name == DRIVE), None)


def named(pointers: frozenset[str], want: VirtualMachineSpec) -> frozenset[str]:
    """The pointers that a document names, and those of its drive if it names the data for cloud-init."""
    if "/spec/cloudInit" not in pointers or _among(want) is None:
        return pointers
    here = f"/spec/cdroms/{len(want.cdroms) - 1}"
    return pointers | {"/spec/cdroms", *(f"{here}/{field}" for field in ("name", "bus", "media"))}


def ignored(pointers: tuple[str, ...], want: VirtualMachineSpec) -> tuple[str, ...]:
    """The pointers of ``cell/ignore``, and those of the drive if the data for cloud-init is to be ignored."""
    if _among(want) is None or not covered("/spec/cloudInit", frozenset(pointers)):
        return pointers
    return (*pointers, f"/spec/cdroms/{len(want.cdroms) - 1}", f"/spec/cdroms/{DRIVE}")


# -- what is said ----------------------------------------------------------------------------------------------


def spoken(path: str) -> str:
    """The drive and its medium by the field that they come from."""
    return PATH if path in (DRIVE_PATH, f"{DRIVE_PATH}.media") else path


def said(fields: Iterable[FieldChange], doc: Document, world: World) -> Iterator[FieldChange]:
    """Field changes as people know them: which data is another, and never what it is."""
    wanted, found = target(doc), world.live.seeds.get(doc.key.name, Seed())
    for field in fields:
        if field.path == DRIVE_PATH:
            have, want = (None if value is None else "a drive with data" for value in (field.have, field.want))
            yield msgspec.structs.replace(field, path=PATH, have=have, want=want)
        elif field.path != f"{DRIVE_PATH}.media":
            yield field
        elif wanted is None or found.declared != wanted.declared or not found.images.get(str(field.have)):
            yield msgspec.structs.replace(field, path=PATH)
        else:
            for name in found.images[str(field.have)]:
                yield msgspec.structs.replace(field, path=_FIELDS[name], have="other data", want=_what(wanted, name))


def _what(wanted: SeedTarget, name: str) -> str | None:
    text = wanted.files.get(name)
    if text is None:
        return None
    if name == META:
        return f"those of instance {json.loads(text.text)['instance-id']}"
    return f"the data in {text.file}" if text.file else "the data of the document"


def replaced(live_paths: Iterable[str]) -> bool:
    """Does the running instance get another medium?"""
    return f"{DRIVE_PATH}.media" in live_paths


def other_data(define: Mapping[str, FieldChange], name: str, live: Live) -> set[str]:
    """The path of the medium, if the drive has an image of ours and only the data is another.

    Then a document or a file that it refers to was changed, and nobody changed the VM.
    """
    path = f"{DRIVE_PATH}.media"
    change = define.get(path)
    return {path} if change is not None and change.have in live.seeds.get(name, Seed()).images else set()


def refusal(doc: Document, live: Live) -> Iterator[Refusal]:
    """Why the image of a VM cannot be made."""
    found = live.seeds.get(doc.key.name)
    if found is not None and found.error and target(doc) is not None:
        yield Refusal(reason="SecretUnreadable", message=f"cloudInit: {found.error}", advice=found.advice)


def notes(doc: Document, live: Live) -> Iterator[str]:
    """What cannot be told."""
    if target(doc) is None or live.seeds.get(doc.key.name, Seed()).declared:
        return
    domain = live.domains.get(doc.key.name)
    if domain is not None and domain.inactive is not None and _among(observe.parsed(domain.inactive).spec) is not None:
        yield f"{PATH}: unknown whether its data is as declared: not in the snapshot, which was taken without it"


# -- what is done ----------------------------------------------------------------------------------------------


def untidy(doc: Document, want: VirtualMachineSpec, live: Live) -> bool:
    """Is there anything to do or to say about images, though the drive is as it should be?"""
    return any(sweeping(doc.key, want, live, lets_go=False)) or any(refusal(doc, live))


def making(doc: Document, want: VirtualMachineSpec, live: Live, define: Container[str]) -> Iterator[Step]:
    """The step that makes the image, if it is about to be put into the drive."""
    wanted, found = target(doc), live.seeds.get(doc.key.name, Seed())
    drive = _among(want)
    path = None if drive is None else drive.media
    if wanted is None or not path or found.error or not (DRIVE_PATH in define or f"{DRIVE_PATH}.media" in define):
        return
    if found.declared != wanted.declared or found.images.get(path) != ():
        action = seed_actions.MakeImage(path, wanted)
        yield Step(key=doc.key, op="vm.seed", text=f"make {path} for VM {doc.key.name}", action=action)


def sweeping(key: Key, want: VirtualMachineSpec, live: Live, *, lets_go: bool) -> Iterator[Step]:
    """The step that removes images which nothing uses any more, or will not after the steps before it.

    ``lets_go``: the running instance gets another medium by them, or is shut down.
    """
    found, domain = live.seeds.get(key.name, Seed()), live.domains.get(key.name)
    if not found.images or found.error or (domain is not None and (domain.snapshots or domain.managed_save)):
        return  # what a snapshot or a saved state names, no XML here shows
    drive = _among(want)
    own = {drive.media} if drive is not None else set()
    if domain is not None and not lets_go:
        own |= observe.media(msgspec.structs.replace(domain, inactive=None))
    if found.images.keys() - own:
        kept = _others(found, key.name, live)
        if found.images.keys() - own - kept:
            text = f"remove images of VM {key.name} in {found.directory} that nothing uses"
            action = seed_actions.RemoveImages(key.name, kept=tuple(sorted(kept)))
            yield Step(key=key, op="vm.seed-remove", text=text, action=action)


def _others(found: Seed, name: str, live: Live) -> set[str]:
    """The images that another domain has in a drive: somebody copied this one."""
    return found.images.keys() & observe.others_media(live.domains, name)


def removing(name: str, live: Live) -> Iterator[Step]:
    """Before a VM is undefined: all its images, unless another domain has one in a drive."""
    found = live.seeds.get(name, Seed())
    kept = _others(found, name, live) if found.images else set()
    if found.images.keys() - kept:
        text = f"remove the images of VM {name} in {found.directory}"
        action = seed_actions.RemoveImages(name, kept=tuple(sorted(kept)), last=True)
        yield Step(key=Key(observe.KIND, name), op="vm.seed-remove", text=text, action=action, deletes=True)


# -- images without a VM ---------------------------------------------------------------------------------------


def leftover(name: str, world: World) -> Observed | None:
    """Images of a VM that is neither there nor declared: a run was killed after it made them."""
    key = Key(observe.KIND, name)
    if key in world.documents or not world.live.seeds.get(name, Seed()).images:
        return None
    return Observed(key=key, spec=None, mark=_mark(key))


def owned(live: Live) -> Iterator[tuple[str, Mark]]:
    """Images whose VM is not there."""
    for name, found in live.seeds.items():
        if found.images and name not in live.domains:
            yield name, _mark(Key(observe.KIND, name))


def _mark(key: Key) -> Mark:
    return Mark(key, "image")
