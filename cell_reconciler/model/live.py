"""What a host reports: plain facts, read in bulk, serialisable as they are (``cellctl observe``).

A source that did not answer is a ``Gap``. A gap means *unknown*: no kind that needs the source may conclude that
something is absent (promise 9). These are raw facts in the words of the source; the kinds turn them into specs.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from cell_reconciler.model.guest import Password, Seed
from cell_reconciler.model.host_devices import HostDevices
from cell_reconciler.model.node import Node


class Source(StrEnum):
    LIBVIRT = "libvirt"
    NETLINK = "netlink"
    NFTABLES = "nftables"
    CEPH = "ceph"
    FILES = "files"
    DEVICES = "devices"


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
    snapshots: bool = False  # libvirt keeps snapshots of it
    reason: str = ""  # why it is shut off, crashed or paused: shutdown, destroyed, failed, io-error …: libvirt's words
    silent: str = ""  # since when its QEMU does not answer (RFC 3339), as far as it was asked: only ``run`` asks
    unweighted: bool = False  # it runs with shares of CPU time, and its host gives it no cgroup that could have any
    job: str = ""  # the job of libvirt under way on it, as far as it was asked: migration, backup, snapshot …


class HostCpus(msgspec.Struct, frozen=True, kw_only=True):
    """What pinning and shares are relative to."""

    online: str = ""  # "0-63"; empty: not known
    shares: int | None = None  # of a VM that was given none: 1024 with cgroups v1, 100 with v2; None: not known


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A libvirt secret, without its value; ``digest`` is of the value (never the value itself)."""

    uuid: str
    usage: str
    description: str
    digest: str | None = None


_AGREED = 0x08 | 0x10 | 0x20  # bits of an LACP port's state: in sync, collecting, distributing


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
    address_options: dict[str, str] = {}  # of one that somebody else set, what no document says: "peer 10.0.0.9"
    ipv6_disabled: bool | None = None
    pci: str | None = None  # of hardware on the PCI bus: 0000:3b:00.0
    vlans: tuple[VlanRange, ...] = ()  # of a port (or of the bridge itself) of a bridge that filters VLANs

    @property
    def lacp_agreed(self) -> bool:
        """Of a member in mode 802.3ad: both ends of its cable are in sync, collecting and distributing (IEEE 802.1AX).

        A kernel that does not tell is believed.
        """
        states = (self.port.get(f"bond_slave_ad_{end}_oper_port_state", _AGREED) for end in ("actor", "partner"))
        return all(state & _AGREED == _AGREED for state in states)


class VlanRange(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """VLANs that a port of a filtering bridge carries, ``first`` to ``last``.

    ``pvid``: untagged frames that come in belong to it; ``untagged``: its frames leave without a tag.
    """

    first: int
    last: int
    pvid: bool = False
    untagged: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A route that somebody set: by hand, by DHCP or by us. What the kernel and routing daemons make is not kept.

    Its identity, by the kernel's rule: family, table, ``to``, metric (and ``link`` for IPv6).
    """

    to: str  # canonical CIDR; the default route is 0.0.0.0/0 or ::/0
    link: str | None  # None: blackhole and the like, or several next hops
    via: str | None = None
    source: str | None = None  # RTA_PREFSRC
    table: int = 254
    metric: int = 0  # IPv6: the kernel's 1024 stands for none given
    mtu: int | None = None
    onlink: bool = False
    protocol: int = 0  # RTPROT_*: 3 boot (by hand), 4 static, 16 DHCP, RTPROT of ours
    type: str = "unicast"
    detail: str = ""  # what we cannot say in these words (next hops, encapsulation): such a route is never ours


class Rule(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A policy rule (``ip rule``) but for the three that the kernel has from the start."""

    family: int  # 4 or 6
    priority: int
    table: int = 254
    source: str | None = None  # canonical CIDR
    to: str | None = None  # canonical CIDR
    mark: int | None = None
    mask: int | None = None
    iif: str | None = None
    oif: str | None = None
    protocol: int = 0  # FRA_PROTOCOL
    action: str = "to_tbl"
    detail: str = ""  # what we cannot say in these words: such a rule is never ours


class Manager(msgspec.Struct, frozen=True, kw_only=True):
    """Another program that manages a link now."""

    name: str  # NetworkManager, systemd-networkd, ifupdown
    detail: str = ""  # its profile or file


class Trashed(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the trash of its pool. Times are RFC 3339, UTC; empty: unknown."""

    id: str  # by which the pool knows it there: names may lie there several times
    name: str  # that it had
    at: str = ""  # when it was moved there
    until: str = ""  # nobody removes it before
    size: int | None = None  # bytes
    mark: str | None = None  # None: not ours
    notes: dict[str, str] = {}  # that stand beside the mark


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A place for volumes: a Ceph pool (and namespace) or a directory."""

    name: str  # of the StoragePool document
    backend: str  # rbd, directory
    target: str  # "pool/namespace" or the path
    exists: bool
    mark: str | None = None
    capacity: int | None = None  # bytes
    available: int | None = None  # bytes
    trash: tuple[Trashed, ...] = ()
    detail: dict[str, Any] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """``held``: it is protected, or clones share its data: it cannot be deleted."""

    name: str
    held: bool = False


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A volume's data: an RBD image or a RAW file. ``mark`` is our mark's text, None if foreign."""

    pool: str  # of the StoragePool document
    name: str
    size: int  # bytes
    mark: str | None = None
    path: str | None = None  # of a file
    watchers: int | None = None
    snapshots: tuple[Snapshot, ...] | None = None  # None: not read; read of images that have a schedule only
    settings: dict[str, str] = {}  # options of librbd for this image; read of images with settings of ours only
    detail: dict[str, Any] = {}


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of one host."""

    host: str
    at: datetime | None = None  # when it was taken: the only clock that planning knows; None: unknown, nothing is due
    node: Node | None = None  # what the host is; None: not known, and nothing is claimed about it
    domains: dict[str, Domain] = {}  # by name
    secrets: dict[str, Secret] = {}  # by usage
    cpus: HostCpus = HostCpus()
    seeds: dict[str, Seed] = {}  # by name of the VM
    passwords: dict[str, Password] = {}  # by name of the VM, of those whose document has one
    nwfilters: tuple[str, ...] | None = None  # names of libvirt's network filters; None: it was not asked
    links: dict[str, Link] = {}  # by name
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    # bridge → digest of our nftables rules for it, as they are now; None: they could not be read
    filters: dict[str, str] | None = {}
    managers: dict[str, Manager] = {}  # link → who else manages it
    pools: dict[str, Pool] = {}  # by StoragePool name
    images: dict[str, Image] = {}  # by "pool/name" (StoragePool name)
    devices: HostDevices | None = None  # None: no document needed them, so nobody looked
    gaps: tuple[Gap, ...] = ()

    def gap(self, source: Source, scope: str = "") -> Gap | None:
        """The gap that makes an answer from this source (or this part of it) untrustworthy."""
        for gap in self.gaps:
            if gap.source == source and gap.scope in ("", scope):
                return gap
        return None
