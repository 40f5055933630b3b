"""Rules for the options of a bridge and of its ports: what the kernel would refuse, and what makes no sense together.

Limits are those of the kernel's net/bridge (br_stp.c, br_stp_timer.c, br_private.h).
"""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.bridge.observe import device
from cell_reconciler.kinds.bridge.options import CENTI, FIELDS, WITH_STP
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links import ports
from cell_reconciler.kinds.links.index import Index
from cell_reconciler.model import vlans
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, UnsetType
from cell_reconciler.model.quantities import Duration

_MOST = (2**32 - 1) // CENTI  # seconds; the kernel counts centiseconds in 32 bits
_LIMITS = {"hello_time": (1, 10), "max_age": (6, 40)}  # seconds
_RESTRICTED = 0x7  # BR_GROUPFWD_RESTRICTED


def check(doc: Document, index: Index) -> Iterator[Problem]:
    """All problems of the options of one document."""
    yield from _times(doc.spec)
    if doc.spec.group_forward_mask & _RESTRICTED:
        message = f"groupForwardMask {doc.spec.group_forward_mask} has one of the bits 0 to 2 (STP, pause, LACP) set"
        advice = "leave them out: the kernel never forwards these frames"
        yield Problem(pointer="/spec/groupForwardMask", rule="group-forward-mask", message=message, advice=advice)
    yield from _ports(doc)
    yield from _taken(doc, index)


def _times(spec: BridgeSpec) -> Iterator[Problem]:
    limits = _LIMITS | (WITH_STP if spec.stp else {})
    for name, field in FIELDS.items():
        value = getattr(spec, name)
        if not isinstance(value, Duration):
            continue
        pointer = f"/spec/{field.yaml}"
        low, high = limits.get(name, (0, _MOST))
        if not low <= value <= high:
            stp = " with STP" if name in WITH_STP and spec.stp else ""
            message = f"{field.yaml} {value.to_text()} is not between {low}s and {high}s, which the kernel wants{stp}"
            yield Problem(pointer=pointer, rule="bridge-time", message=message)
        if round(value * 1000) % (1000 // CENTI):
            message = f"{field.yaml} {value.to_text()} is no multiple of 10ms, in which the kernel counts"
            yield Problem(pointer=pointer, rule="bridge-time", message=message)
    if spec.stp and not 2 * (spec.forward_delay - 1) >= spec.max_age >= 2 * (spec.hello_time + 1):
        message = "2 x (forwardDelay - 1s) >= maxAge >= 2 x (helloTime + 1s) does not hold, which IEEE 802.1D asks for"
        yield Problem(pointer="/spec/maxAge", rule="stp-times", message=message, severity=Severity.WARNING)


def _ports(doc: Document) -> Iterator[Problem]:
    first: set[str] = set()
    for index, port in enumerate(doc.spec.ports):
        pointer = f"/spec/ports/{index}"
        if port.name in first:
            yield Problem(pointer=f"{pointer}/name", rule="port-twice", message=f"{port.name} is listed twice")
        first.add(port.name)
        own = port.name == doc.key.name
        if own and ports.BridgePort(name=port.name, vlans=port.vlans) != port:
            message = f"{port.name} is the bridge itself: of a port's settings it has vlans only"
            yield Problem(pointer=pointer, rule="port-itself", message=message)
        if not isinstance(port.vlans, UnsetType):
            yield from _vlans(port.vlans, doc.spec, f"{pointer}/vlans")


def _vlans(said: ports.PortVlans, spec: BridgeSpec, pointer: str) -> Iterator[Problem]:
    if not spec.vlan_filtering:
        message = "vlans have no effect on a bridge that does not filter them"
        yield Problem(pointer=pointer, rule="port-vlans", message=message, advice="set vlanFiltering: true")
    if (said.access, said.native, said.trunk) == (UNSET, UNSET, UNSET):
        message = "vlans says nothing: name access, or trunk, or native"
        yield Problem(pointer=pointer, rule="port-vlans", message=message)
    if said.access is not UNSET and (said.native, said.trunk) != (UNSET, UNSET):
        message = "a port carries one VLAN without tags (access), or a trunk with or without native"
        yield Problem(pointer=f"{pointer}/access", rule="port-vlans", message=message)
    if isinstance(said.trunk, UnsetType):
        return
    for index, text in enumerate(said.trunk):
        try:
            vlans.parse(text)
        except ValueError as error:
            yield Problem(pointer=f"{pointer}/trunk/{index}", rule="port-vlans", message=str(error))


def _taken(doc: Document, index: Index) -> Iterator[Problem]:
    """A VLAN device on the uplink gets the frames of its VLAN; a bridge on the same uplink never sees them."""
    own = device(doc.spec) or ""
    for place, port in enumerate(doc.spec.ports if doc.spec.vlan_filtering else ()):
        if port.name != own or isinstance(port.vlans, UnsetType):
            continue
        try:
            carried = vlans.each(item for item in ports.ranges(port.vlans) if not item.untagged)
        except ValueError:
            continue  # reported as what it is
        for vid in carried:
            for key in index.tags.get((own, vid), ()):
                message = f"VLAN {vid} of {own} is taken by {key}: its frames never reach this bridge"
                advice = f"leave {vid} out of the trunk, or put what is on {key} onto {doc.key}"
                pointer = f"/spec/ports/{place}/vlans/trunk"
                yield Problem(pointer=pointer, rule="trunk-taken", message=message, advice=advice)
