"""Our element in a domain's ``<metadata>``: the ownership mark, and notes that have to travel with the domain.

::

    <cell:vm xmlns:cell="https://ablestack.io/cell/v1" cpu="host-model" start="due" stop="120s">cell/v1;…</cell:vm>

``cpu`` is the CPU mode that was asked for, and the features (``host-model +pcid -hle``). libvirt copies the metadata
into the instance that it starts, and expands ``host-model`` there into a long ``custom`` CPU; so the note in the
*active* XML is the record of what the instance was booted with. ``start="due"``: the domain was made to run once and
has not been started yet; the note goes with the first start, so that a crash between defining and starting is made
good, and a guest's own shutdown is left alone. ``stop`` and ``force`` are shutdownTimeout and forceStop as of the
last definition: a VM whose document is gone is stopped as its document said. ``named``: devices of an adopted domain
that had no alias before we gave them one, which goes again with the mark. ``ports`` is ``hotplugPorts`` as the
definition was given it, and in the active XML as the instance was started with it. ``password="set"``: we gave the
console a password, which libvirt hides. ``taken`` is what the balloon was asked to take from the guest, in KiB: libvirt
tells only what it has, and a guest may be slow to give, or never do. ``eim``: the I/O MMU and the I/O APIC that more
than 255 vCPUs need were put there by us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.kinds.virtual_machine.codec import child, remove
from cell_reconciler.model.mark import NAMESPACE, Mark
from cell_reconciler.model.quantities import Duration

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

TAG = f"{{{NAMESPACE}}}vm"


class Note(NamedTuple):
    """The contents of our element."""

    mark: Mark | None = None
    cpu: str = ""
    start_due: bool = False
    stop: Duration = Duration(120)
    force: bool = False
    password: bool = False
    named: tuple[str, ...] = ()
    ports: int | None = None
    taken: int | None = None  # bytes
    eim: bool = False


def read(domain: Element) -> Note:
    """An empty note for a domain without our element."""
    element = domain.find(f"metadata/{TAG}")
    if element is None:
        return Note()
    return Note(
        mark=Mark.parse((element.text or "").strip()),
        cpu=element.get("cpu") or "",
        start_due=element.get("start") == "due",
        stop=_duration(element.get("stop") or ""),
        force=element.get("force") == "yes",
        password=element.get("password") == "set",
        named=tuple((element.get("named") or "").split()),
        ports=int(ports) if (ports := element.get("ports") or "").isdecimal() else None,
        taken=int(taken) * 1024 if (taken := element.get("taken") or "").isdecimal() else None,
        eim=element.get("eim") == "ours",
    )


def _duration(text: str) -> Duration:
    try:
        return Duration.parse(text)
    except ValueError:  # written by hand, or by another version
        return Note().stop


def write(domain: Element, note: Note) -> None:
    """Replace our element; the metadata of others stay."""
    erase(domain)
    metadata = child(domain, "metadata")
    element = metadata.makeelement(TAG, {}, nsmap={"cell": NAMESPACE})
    metadata.append(element)
    _fill(element, note)


def text(note: Note) -> str:
    """Our element alone, without its namespace: as libvirt wants it for a running instance."""
    element = xml.parse("<vm/>")
    _fill(element, note)
    return xml.text(element)


def _fill(element: Element, note: Note) -> None:
    element.text = "" if note.mark is None else note.mark.to_text()
    if note.cpu:
        element.set("cpu", note.cpu)
    if note.start_due:
        element.set("start", "due")
    element.set("stop", note.stop.to_text())
    if note.force:
        element.set("force", "yes")
    if note.password:
        element.set("password", "set")
    if note.named:
        element.set("named", " ".join(sorted(note.named)))
    if note.ports is not None:
        element.set("ports", str(note.ports))
    if note.taken is not None:
        element.set("taken", str(note.taken // 1024))
    if note.eim:
        element.set("eim", "ours")


def erase(domain: Element) -> None:
    """Take our element away: the domain is not ours any more."""
    for old in domain.findall(f"metadata/{TAG}"):
        remove(old)
