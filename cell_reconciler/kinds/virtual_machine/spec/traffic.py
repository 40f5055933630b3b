"""What a VM's interface may send and receive: how much (libvirt's bandwidth), and which packets (its network filters).

There is no ``floor``: libvirt guarantees a rate to interfaces of its own networks only, not to those on a bridge.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from cell_reconciler.kinds.virtual_machine import codec
from cell_reconciler.kinds.virtual_machine.codec import traffic
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc

_MOST = 2**32 - 1  # of libvirt's schema


def _rate(direction: str, name: str, text: str) -> Any:
    return doc(text, Effect.LIVE, ge=1, le=_MOST, xml=codec.Option(f"bandwidth/{direction}", name, kind=int))


class Inbound(Spec, frozen=True, kw_only=True):
    """What the guest receives."""

    average: Annotated[int, _rate("inbound", "average", "kB (1000 bytes) per second, over time.")]
    peak: Annotated[int, _rate("inbound", "peak", "kB per second that a burst is received at.")] | UnsetType = UNSET
    burst: Annotated[int, _rate("inbound", "burst", "KiB that are received at `peak`.")] | UnsetType = UNSET


class Outbound(Spec, frozen=True, kw_only=True):
    """What the guest sends."""

    average: Annotated[int, _rate("outbound", "average", "kB (1000 bytes) per second, over time.")]
    peak: Annotated[int, _rate("outbound", "peak", "kB per second that a burst is sent at.")] | UnsetType = UNSET
    burst: Annotated[int, _rate("outbound", "burst", "KiB that are sent at `peak`.")] | UnsetType = UNSET


class Bandwidth(Spec, frozen=True, kw_only=True):
    """Limits of an interface's rate, as libvirt names them."""

    inbound: (
        Annotated[
            Inbound, doc("What the guest receives. Absent: no limit.", Effect.LIVE, xml=codec.Flag("bandwidth/inbound"))
        ]
        | UnsetType
    ) = UNSET
    outbound: (
        Annotated[
            Outbound, doc("What the guest sends. Absent: no limit.", Effect.LIVE, xml=codec.Flag("bandwidth/outbound"))
        ]
        | UnsetType
    ) = UNSET


ParameterName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_]+$(?!\n)", max_length=64)]
ParameterValue = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:]+$(?!\n)", max_length=64)]


class Filter(Spec, frozen=True, kw_only=True):
    """A network filter of libvirt, as `virsh nwfilter-list` shows it."""

    name: Annotated[
        str,
        doc(
            "Name of the filter. It has to be on the host.",
            Effect.LIVE,
            pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$",  # an NCName, as libvirt's schema has it
            max_length=64,
            examples=["clean-traffic"],
            xml=codec.Attribute("filterref", "filter", absent=""),
        ),
    ]
    parameters: Annotated[
        dict[ParameterName, tuple[ParameterValue, ...]],
        doc(
            "Values of the filter's variables, such as `IP: [10.0.0.5]`. libvirt knows the interface's MAC by itself, "
            "and learns an address that is not given from the guest's first packets.",
            Effect.LIVE,
            xml=traffic.FilterParameters(),
        ),
    ] = {}
