"""The password of the console: a file that the document names against what the driver saw in libvirt. Pure.

Neither side knows a password here. The definition carries a note that we set one (``metadata``), so that a document
which names none any more takes away ours; what somebody else set on a VM without a note, libvirt hides and we leave.
QEMU asks for passwords when it was started with one: so the first one, and none any more, wait for the next start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from cell_reconciler.kinds.compare import covered
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.secret import secret_file
from cell_reconciler.kinds.virtual_machine import observe, password_actions, resolve
from cell_reconciler.model.change import FieldChange, Refusal, Step
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import Effect
from cell_reconciler.model.guest import NONE, OTHER, UNKNOWN, Password
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.mark import Mark

PATH, POINTER = "spec.graphics.password", "/spec/graphics/password"


def file_of(doc: Document) -> str:
    """The file that the password is in; empty for a VM without one."""
    password = resolve.effective(doc).graphics.password
    return secret_file(password) if password else ""


def configured(doc: Document, domain: Domain, named: Collection[str] | None, world: World) -> Iterator[FieldChange]:
    """How the definition differs."""
    if _ours(named):
        fact = _fact(doc, world.live)
        state = fact.defined if fact else _noted(domain.inactive)
        yield from _change(doc, state, Effect.LIVE if state == OTHER and file_of(doc) else Effect.RESTART)


def running(doc: Document, domain: Domain, named: Collection[str] | None, world: World) -> Iterator[FieldChange]:
    """How the running instance differs."""
    if domain.active is not None and _ours(named):
        fact = _fact(doc, world.live)
        state = fact.running if fact else _noted(domain.active)
        yield from _change(doc, state, Effect.LIVE if state == OTHER and file_of(doc) else Effect.RESTART)


def _ours(named: Collection[str] | None) -> bool:
    return named is None or POINTER in named


def _fact(doc: Document, live: Live) -> Password | None:
    """What the driver saw, if it looked for the file of this document."""
    fact = live.passwords.get(doc.key.name)
    return fact if fact is not None and fact.file == file_of(doc) else None


def _noted(text: str | None) -> str:
    """What is known without having looked: whether we set one."""
    noted = text is not None and observe.parsed(text).note.password
    return UNKNOWN if noted else NONE


def _change(doc: Document, state: str, effect: Effect) -> Iterator[FieldChange]:
    file = file_of(doc)
    if file and state in (OTHER, NONE):
        have, want = "another password" if state == OTHER else None, f"the password in {file}"
    elif not file and state != NONE:
        have, want = "a password", None
    else:
        return
    skip = covered(POINTER, frozenset(doc.ignored))
    yield FieldChange(path=PATH, have=have, want=want, effect=effect, ignored=skip)


def notes(doc: Document, live: Live) -> Iterator[str]:
    """What cannot be told."""
    fact = _fact(doc, live)
    if fact is not None and not fact.error and UNKNOWN in (fact.defined, fact.running):
        yield f"{PATH}: unknown whether it is the password in {fact.file}: libvirt does not show it to this connection"


def refusal(doc: Document, live: Live) -> Iterator[Refusal]:
    """Why the password cannot be set."""
    fact = _fact(doc, live)
    if fact is not None and fact.error:
        yield Refusal(reason="SecretUnreadable", message=f"graphics.password: {fact.error}", advice=fact.advice)


def keeping(doc: Document, mark: Mark) -> Step:
    """The step that sets the password in the definition, or takes it away."""
    file, name = file_of(doc), doc.key.name
    text = f"set the console's password of VM {name}" if file else f"take the console's password of VM {name} away"
    return Step(key=doc.key, op="vm.password", text=text, action=password_actions.KeepPassword(name, file, mark))


def changing(key: Key, file: str) -> Step:
    """The step that changes the password of the running instance."""
    text = f"change the console's password of running VM {key.name}"
    return Step(key=key, op="vm.password-live", text=text, action=password_actions.ChangePassword(key.name, file))
