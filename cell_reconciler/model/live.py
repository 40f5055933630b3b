"""What a host reports: plain facts, read in bulk, serialisable as they are (``cellctl observe``).

A source that did not answer is a ``Gap``. A gap means *unknown*: no kind that needs the source may conclude that
something is absent (promise 9). These are raw facts in the words of the source; the kinds turn them into specs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Source(StrEnum):
    LIBVIRT = "libvirt"
    NETLINK = "netlink"
    CEPH = "ceph"
    FILES = "files"


class Gap(msgspec.Struct, frozen=True):
    """A source, or one part of it (a Ceph pool, a directory), that did not answer, and why."""

    source: Source
    reason: str
    scope: str = ""  # empty: the whole source


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """A libvirt domain. ``inactive`` is the persistent XML, ``active`` the XML of the running instance."""

    uuid: str
    name: str
    state: str  # running, paused, shutoff, crashed, pmsuspended, blocked, shutdown: libvirt's words
    inactive: str | None  # None: transient
    active: str | None  # None: not running
    autostart: bool = False
    managed_save: bool = False
    reason: str = ""  # why it is shut off or crashed: shutdown, destroyed, failed, unknown …: libvirt's words


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A libvirt secret, without its value; ``digest`` is of the value (never the value itself)."""

    uuid: str
    usage: str
    description: str
    digest: str | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface as one RTM_NEWLINK describes it; names instead of indexes."""

    name: str
    index: int
    kind: str | None  # IFLA_INFO_KIND: bond, bridge, vlan, veth, tun, dummy; None for hardware
    mac: str
    permanent_mac: str | None
    mtu: int
    up: bool  # administratively
    carrier: bool
    master: str | None
    parent: str | None  # IFLA_LINK resolved (the device below a VLAN)
    group: int
    alias: str | None
    data: dict[str, Any] = {}  # IFLA_INFO_DATA in the kernel's names, e.g. {"bond_mode": 1}
    port: dict[str, Any] = {}  # IFLA_INFO_SLAVE_DATA, e.g. {"state": 3}
    addresses: tuple[str, ...] = ()  # "10.0.0.1/24", global and link-local that were set by hand
    owned_addresses: tuple[str, ...] = ()  # those of ``addresses`` that carry our IFA_PROTO
    dynamic_addresses: tuple[str, ...] = ()  # of DHCP, RA and routing daemons: never ours
    ipv6_disabled: bool | None = None


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A place for volumes: a Ceph pool (and namespace) or a directory."""

    name: str  # of the StoragePool document
    backend: str  # rbd, directory
    target: str  # "pool/namespace" or the path
    exists: bool
    mark: str | None = None
    capacity: int | None = None  # bytes
    available: int | None = None  # bytes
    detail: dict[str, Any] = {}


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A volume's data: an RBD image or a RAW file. ``mark`` is our mark's text, None if foreign."""

    pool: str  # of the StoragePool document
    name: str
    size: int  # bytes
    mark: str | None = None
    path: str | None = None  # of a file
    watchers: int | None = None
    detail: dict[str, Any] = {}


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of one host."""

    host: str
    domains: dict[str, Domain] = {}  # by name
    secrets: dict[str, Secret] = {}  # by usage
    links: dict[str, Link] = {}  # by name
    pools: dict[str, Pool] = {}  # by StoragePool name
    images: dict[str, Image] = {}  # by "pool/name" (StoragePool name)
    gaps: tuple[Gap, ...] = ()

    def gap(self, source: Source, scope: str = "") -> Gap | None:
        """The gap that makes an answer from this source (or this part of it) untrustworthy."""
        for gap in self.gaps:
            if gap.source == source and gap.scope in ("", scope):
                return gap
        return None
