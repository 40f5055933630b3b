"""The fields of Reconciler."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.placement import HostSelector, IfName, Placed
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Duration


class Mode(StrEnum):
    """What the watch loop does about a difference."""

    ENFORCE = "enforce"  # repairs it
    OBSERVE = "observe"  # reports it and changes nothing


class Allow(StrEnum):
    """The highest risk that needs no further permission; the words of ``model.change.Risk``."""

    NONE = "none"
    BLIP = "blip"
    DISRUPTIVE = "disruptive"
    CUTS_MANAGEMENT = "cuts-management"
    CUTS_VM = "cuts-vm"


class IgnoreRule(Spec, frozen=True, kw_only=True):
    """Fields that are neither compared nor changed, for every document that the rule selects."""

    kind: Annotated[str, doc("The kind that the rule is for.", Effect.POLICY)]
    names: (
        Annotated[tuple[str, ...], doc("Names it is for; absent: all of the kind.", Effect.POLICY, min_length=1)]
        | UnsetType
    ) = UNSET
    selector: Annotated[HostSelector | UnsetType, doc("Labels that the document itself must have.", Effect.POLICY)] = (
        UNSET
    )
    fields: Annotated[
        tuple[str, ...],
        doc(
            "JSON pointers, as in the annotation `cell/ignore`.",
            Effect.POLICY,
            min_length=1,
            examples=[["/spec/mtu"]],
        ),
    ]


class PingProbe(Spec, frozen=True, kw_only=True):
    """Asks whether an address answers an ICMP echo."""

    address: Annotated[str, doc("IPv4 or IPv6 address.", Effect.POLICY)]


class TcpProbe(Spec, frozen=True, kw_only=True):
    """Asks whether a TCP connection can be opened."""

    address: Annotated[str, doc("IPv4 or IPv6 address.", Effect.POLICY)]
    port: Annotated[int, doc("TCP port.", Effect.POLICY, ge=1, le=65535)]


class ArpProbe(Spec, frozen=True, kw_only=True):
    """Asks for the Ethernet address of a neighbour: by ARP, for IPv6 by neighbour discovery.

    That is answered also where ICMP is dropped.
    """

    address: Annotated[str, doc("IPv4 or IPv6 address in a network of this host.", Effect.POLICY)]
    interface: (
        Annotated[
            IfName, doc("The link to ask on. Absent: the one by which the address is reached then.", Effect.POLICY)
        ]
        | UnsetType
    ) = UNSET


class LacpProbe(Spec, frozen=True, kw_only=True):
    """Asks whether a bond in mode 802.3ad has found its partner, the switch."""

    bond: Annotated[IfName, doc("Name of the bond.", Effect.POLICY)]


class Probe(Spec, frozen=True, kw_only=True):
    """One way to tell that the host can still be managed. Exactly one of `ping`, `tcp`, `arp` and `lacp`."""

    name: Annotated[str, doc("A name for messages.", Effect.POLICY)]
    ping: Annotated[PingProbe | UnsetType, doc("ICMP echo.", Effect.POLICY)] = UNSET
    tcp: Annotated[TcpProbe | UnsetType, doc("TCP connect.", Effect.POLICY)] = UNSET
    arp: Annotated[ArpProbe | UnsetType, doc("ARP or IPv6 neighbour discovery.", Effect.POLICY)] = UNSET
    lacp: Annotated[LacpProbe | UnsetType, doc("LACP partner of a bond.", Effect.POLICY)] = UNSET


class ReconcilerSpec(Placed, frozen=True, kw_only=True):
    """How the reconciler behaves on a host.

    At most one such document may count on a host; without one, the defaults hold.
    """

    mode: Annotated[Mode, doc("`enforce` repairs differences, `observe` only reports them.", Effect.POLICY)] = (
        Mode.ENFORCE
    )
    resync_interval: Annotated[
        Duration, doc("Between two full comparisons, whatever events say (10 % jitter).", Effect.POLICY)
    ] = Duration(120)
    prune: Annotated[
        bool,
        doc(
            "Delete objects that carry our mark and that no document declares any more. Gates apply.",
            Effect.POLICY,
        ),
    ] = False
    allow: Annotated[Allow, doc("The highest risk that `run` may take without asking.", Effect.POLICY)] = Allow.BLIP
    probes: Annotated[
        tuple[Probe, ...],
        doc(
            "What must still answer after a change on the management path, besides the default gateways (by ping and "
            "by ARP) and the LACP partners of the bonds on that path. What does not answer before is not asked after.",
            Effect.POLICY,
            examples=[[{"name": "jump", "tcp": {"address": "10.0.0.5", "port": 22}}]],
        ),
    ] = ()
    confirm_timeout: Annotated[
        Duration,
        doc(
            "How long a change on the management path may take until its probes pass; then it is undone.",
            Effect.POLICY,
        ),
    ] = Duration(60)
    ignore: Annotated[tuple[IgnoreRule, ...], doc("Fields to leave alone, by kind.", Effect.POLICY)] = ()
