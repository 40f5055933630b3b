"""Everything about the domains, secrets and network filters of a host, in bulk: libvirt's words → ``model.live``.

Only calls that take no job of a domain (they answer in a millisecond though a guest hangs): lists filtered by the
server, ``getAllDomainStats`` of the state alone, and XML. No dump here is SECURE: passwords stay in libvirt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from cell_reconciler.drivers.libvirt import cputune, failures
from cell_reconciler.model.live import Domain, Secret

STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
# Why a domain is shut off or crashed (virDomainShutoffReason, virDomainCrashedReason): what RerunOnFailure asks; and
# why it is paused (virDomainPausedReason).
_SHUTOFF = ("unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot", "daemon")
_CRASHED = ("unknown", "panicked")
_PAUSED = (
    "unknown",
    "user",
    "migration",
    "save",
    "dump",
    "io-error",
    "watchdog",
    "from-snapshot",
    "shutting-down",
    "snapshot",
    "crashed",
    "starting-up",
    "postcopy",
    "postcopy-failed",
)
_REASONS = {"shutoff": _SHUTOFF, "crashed": _CRASHED, "paused": _PAUSED}
_FEW = 16  # domains that are read one by one sooner than all are listed


def domains(connection: Any, names: Collection[str] | None = None) -> dict[str, Domain]:
    """All domains, or those of ``names``, by name. A domain that goes meanwhile is left out."""
    import libvirt

    if names is not None and len(names) <= _FEW:
        some = (domain(connection, name) for name in names)
        return {fact.name: fact for fact in some if fact is not None}

    def flagged(flag: int) -> set[str]:
        return {d.UUIDString() for d in connection.listAllDomains(flag)}

    autostart = flagged(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
    saved = flagged(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
    transient = flagged(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
    copied = flagged(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
    found: dict[str, Domain] = {}
    for handle, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
        uuid = handle.UUIDString()
        if names is not None and handle.name() not in names:
            continue
        state = (stats.get("state.state", 0), stats.get("state.reason", 0))
        flags = _Flags(uuid not in transient, uuid in autostart, uuid in saved, uuid in copied)
        fact = _domain(handle, state, flags)
        if fact is not None:
            found[fact.name] = fact
    return found


def domain(connection: Any, name: str) -> Domain | None:
    """One domain by name, None when there is none."""
    import libvirt

    try:
        handle = connection.lookupByName(name)
        state = tuple(handle.state())
        flags = _Flags(persistent=bool(handle.isPersistent()), snapshots=handle.snapshotNum() > 0)
        if flags.persistent:
            flags = flags._replace(autostart=bool(handle.autostart()), saved=bool(handle.hasManagedSaveImage()))
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.NO_DOMAIN:
            return None
        raise
    return _domain(handle, state, flags)


class _Flags(NamedTuple):
    """What the lists of the server tell by filters."""

    persistent: bool
    autostart: bool = False
    saved: bool = False
    snapshots: bool = False


def _domain(handle: Any, state: tuple[int, ...], flags: _Flags) -> Domain | None:
    import libvirt

    running = STATES[state[0]] not in ("shutoff", "crashed", "nostate")
    try:
        return Domain(
            uuid=handle.UUIDString(),
            name=handle.name(),
            state=STATES[state[0]],
            reason=_reason(*state),
            inactive=handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) if flags.persistent else None,
            active=(active := handle.XMLDesc(0) if running else None),
            unweighted=cputune.unweighted(handle, active or ""),
            autostart=flags.autostart,
            managed_save=flags.saved,
            snapshots=flags.snapshots,
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.NO_DOMAIN:
            return None
        raise


def _reason(state: int, reason: int) -> str:
    words = _REASONS.get(STATES[state], ())
    return words[reason] if reason < len(words) else ""


def secrets(connection: Any) -> dict[str, Secret]:
    """All secrets by usage; of Ceph's the digest of the value, where we may read it. Never the value."""
    import libvirt

    try:
        handles = connection.listAllSecrets(0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.NO_SUPPORT:  # a hypervisor without secrets
            return {}
        raise
    found = {}
    for handle in handles:
        try:
            description = ET.fromstring(handle.XMLDesc(0)).findtext("description") or ""
            digest = _digest(handle) if handle.usageType() == libvirt.VIR_SECRET_USAGE_TYPE_CEPH else None
        except libvirt.libvirtError as error:
            if error.get_error_code() == failures.NO_SECRET:
                continue
            raise
        usage = handle.usageID() or handle.UUIDString()
        found[usage] = Secret(uuid=handle.UUIDString(), usage=usage, description=description, digest=digest)
    return found


def _digest(handle: Any) -> str | None:
    """SHA-256 of the value, in hex; None for a secret without a value, or a private one."""
    import libvirt

    try:
        return hashlib.sha256(handle.value()).hexdigest()
    except libvirt.libvirtError as error:
        if failures.lost(error):
            raise
        return None


def nwfilters(connection: Any) -> tuple[str, ...]:
    """Names of the network filters; none where libvirt's driver for them is not there."""
    import libvirt

    try:
        return tuple(sorted(found.name() for found in connection.listAllNWFilters(0)))
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.NO_SUPPORT:
            return ()
        raise


def capabilities(connection: Any) -> dict[str, Any]:
    """What the hypervisor offers: ``machines`` (alias → canonical name) of each domain type, and versions."""
    root = ET.fromstring(connection.getCapabilities())
    machines: dict[str, str] = {}
    types: set[str] = set()
    arch = root.findtext("host/cpu/arch") or ""
    for guest in root.findall("guest"):
        for block in guest.findall("arch"):
            if block.get("name") == arch and guest.findtext("os_type") == "hvm":
                types.update(d.get("type") or "" for d in block.findall("domain"))
                for machine in block.iter("machine"):
                    machines[machine.text or ""] = machine.get("canonical") or machine.text or ""
    return {
        "arch": arch,
        "domainTypes": sorted(types),
        "machines": machines,
        "libvirtVersion": connection.getLibVersion(),
        "hypervisorVersion": connection.getVersion(),
    }
