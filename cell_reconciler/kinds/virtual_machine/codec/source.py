"""Where a disk's data are, in domain XML; and what goes with the place.

One value says it all, ``model.storage.DiskSource``: what a document's ``volume`` or ``source`` comes to on this host
(``sources``), and what a ``<disk>`` is read as. Writing it writes all of ``<source>`` but the reservations, a field of
their own: what stood beside the old place (its login, its encryption, its backing file) is nothing of the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, add, child, drop
from cell_reconciler.model.storage import DiskSource

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

_ISCSI = "3260"  # libvirt writes the port always


class _Place(Codec):
    """Both ways to say a place write it; the one that the document does not use says nothing."""

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if not absent(value):
            write(scope, context.sources[owner.name])


class Volume(_Place):
    """Reads as a place for people; ``observe`` has the document's word for it."""

    def read(self, scope: Element) -> str:
        return read(scope).text


class Source(_Place):
    """Reads as a document would say it (``said``); None for what no document can say."""

    entire = True

    def __init__(self, said: Callable[[DiskSource], Any]) -> None:
        self.said = said

    def read(self, scope: Element) -> Any:
        return self.said(read(scope))


class Media(Codec):
    """The file in the tray of a CD-ROM; None when it is empty."""

    def read(self, scope: Element) -> str | None:
        return None if scope.find("source") is None else read(scope).path or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        write_media(scope, None if absent(value) else str(value))


def write_media(drive: Element, path: str | None) -> None:
    """Put a file into a CD-ROM drive, or nothing."""
    drop(drive, "source")
    drop(drive, "backingStore")
    drive.set("type", "file")
    if path is not None:
        add(drive, "source", file=path)


def read(disk: Element) -> DiskSource:
    """The source of a ``<disk>`` as a value."""
    kind, source = disk.get("type") or "", disk.find("source")
    if source is None:
        return DiskSource(backend=kind)
    foreign = _foreign(disk, source)
    if kind == "network":
        return _network(disk, source, foreign)
    path = next((value for name in ("file", "dev", "dir", "volume") if (value := source.get(name))), "")
    return DiskSource(backend=kind, path=path, foreign=foreign)


def _foreign(disk: Element, source: Element) -> str:
    """What makes a disk something else than a plain RAW one."""
    driver = disk.find("driver")
    form = "raw" if driver is None else driver.get("type") or "raw"
    inside = (tag for tag in ("encryption", "snapshot", "slices") if source.find(tag) is not None)
    if form == "raw" and disk.find("encryption") is not None:
        form = "encryption"
    return form if form != "raw" else next(inside, "")


def _network(disk: Element, source: Element, foreign: str) -> DiskSource:
    protocol, name = source.get("protocol") or "network", source.get("name") or ""
    auth = source.find("auth") if disk.find("auth") is None else disk.find("auth")
    secret = None if auth is None else auth.find("secret")
    initiator = source.find("initiator/iqn")
    default = _ISCSI if protocol == "iscsi" else ""
    return DiskSource(
        backend=protocol,
        image=name if protocol == "rbd" else "",
        target=name if protocol == "iscsi" else "",
        path="" if protocol in ("rbd", "iscsi") else name,
        hosts=tuple(_joined(h.get("name") or "", h.get("port") or default) for h in source.findall("host")),
        initiator="" if initiator is None else initiator.get("name") or "",
        user="" if auth is None else auth.get("username") or "",
        secret_uuid="" if secret is None else secret.get("uuid") or "",
        secret_usage="" if secret is None else secret.get("usage") or "",
        foreign=foreign,
    )


def write(disk: Element, source: DiskSource) -> None:
    """Put a disk onto another place."""
    reserved, element = disk.find("source/reservations"), child(disk, "source")
    for tag in ("auth", "encryption", "backingStore"):
        drop(disk, tag)
    after = element.tail
    element.clear()  # and stays where it is
    element.tail = after
    if source.backend in ("file", "block"):
        disk.set("type", source.backend)
        element.set("file" if source.backend == "file" else "dev", source.path)
    else:
        disk.set("type", "network")
        element.set("protocol", source.backend)
        element.set("name", source.image or source.target)
        _connection(element, source)
    if reserved is not None:
        element.append(reserved)


def _connection(element: Element, source: DiskSource) -> None:
    for host in source.hosts:
        name, port = _split(host)
        add(element, "host", name=name, **({"port": port} if port else {}))
    if source.initiator:
        add(add(element, "initiator"), "iqn", name=source.initiator)
    if source.user:
        auth = add(element, "auth", username=source.user)
        which = {"uuid": source.secret_uuid} if source.secret_uuid else {"usage": source.secret_usage}
        add(auth, "secret", type="ceph" if source.backend == "rbd" else "iscsi", **which)


def _split(host: str) -> tuple[str, str]:
    """``10.0.0.1:6789``, ``[fd00::1]:6789``, ``10.0.0.1`` → host and port (empty: the default)."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name, port.lstrip(":")
    name, colon, port = host.partition(":")
    return (host, "") if ":" in port else (name, port if colon else "")


def _joined(host: str, port: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" if port else name


class DiskDevice(Codec):
    """``disk/@device``: a disk that QEMU makes, or a LUN of the host that the guest talks to itself."""

    def read(self, scope: Element) -> str:
        return scope.get("device") or "disk"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        scope.set("device", str(value))


class RawIo(Codec):
    """``disk/@rawio``, which libvirt takes for LUNs only."""

    def read(self, scope: Element) -> bool:
        return scope.get("rawio") == "yes"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value:
            scope.set("rawio", "yes")
        elif "rawio" in scope.attrib:
            del scope.attrib["rawio"]


class Reservations(Codec):
    """``source/reservations``: libvirt starts the helper that makes them for QEMU."""

    def read(self, scope: Element) -> bool:
        reservations = scope.find("source/reservations")
        return reservations is not None and reservations.get("managed") == "yes"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "source/reservations")
        if value:
            child(scope, "source/reservations").set("managed", "yes")
