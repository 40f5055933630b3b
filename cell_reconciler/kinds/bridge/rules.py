"""Rules for Bridge documents that JSON Schema cannot say."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.bridge.observe import device
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links.marks import name_fault
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

CLOUD0 = "cloud0"  # of the cloud's agent: link-local addresses of system VMs


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """All problems of one document, alone and beside the others of its host."""
    yield from _names(doc.key.name, doc.spec)
    yield from _addresses(doc.spec)
    yield from _uplink(doc, documents)
    yield from _beside_others(doc, documents)


def _names(name: str, spec: BridgeSpec) -> Iterator[Problem]:
    if fault := name_fault(name):
        yield Problem(pointer="/metadata/name", rule="link-name", message=fault)
    if spec.vlan is not UNSET and spec.uplink is UNSET:
        message = f"vlan {spec.vlan} needs an uplink to be on"
        yield Problem(pointer="/spec/vlan", rule="vlan-uplink", message=message)
    if spec.vlan is not UNSET and spec.uplink is not UNSET and (fault := name_fault(str(device(spec)))):
        message = f"the VLAN device cannot be made: {fault}"
        yield Problem(pointer="/spec/vlan", rule="link-name", message=message, advice="shorten the name of the uplink")
    if name == CLOUD0 and spec.uplink is not UNSET:
        message = "cloud0 carries the link-local network of system VMs: it must not reach a network outside"
        yield Problem(pointer="/spec/uplink", rule="cloud0-uplink", message=message)
    if spec.mac is not UNSET and not spec.mac.unicast:
        message = f"{spec.mac} is a group address, no interface can have it"
        yield Problem(pointer="/spec/mac", rule="mac-unicast", message=message)


def _addresses(spec: BridgeSpec) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, text in enumerate(spec.addresses):
        pointer = f"/spec/addresses/{index}"
        try:
            interface = ipaddress.ip_interface(text)
        except ValueError as error:
            yield Problem(pointer=pointer, rule="address", message=str(error))
            continue
        if fault := _no_host(interface):
            yield Problem(pointer=pointer, rule="address", message=f"{text} {fault}")
        if str(interface) in seen:
            yield Problem(pointer=pointer, rule="address-twice", message=f"{text} is listed twice")
        seen.add(str(interface))


def _no_host(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str | None:
    address, network = interface.ip, interface.network
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        return "cannot be the address of a bridge"
    if interface.version == 4 and network.prefixlen < 31:
        if address == network.network_address:
            return "is the address of the network, not of a host in it"
        if address == network.broadcast_address:
            return "is the broadcast address of its network"
    return None


def _uplink(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    spec, pointer = doc.spec, "/spec/uplink"
    if spec.uplink is UNSET:
        return
    if spec.uplink in (doc.key.name, "lo"):
        message = f"{spec.uplink} cannot be the uplink of {doc.key.name}"
        yield Problem(pointer=pointer, rule="uplink-loop", message=message)
    elif Key("Bridge", spec.uplink) in documents and spec.vlan is UNSET:
        message = f"{spec.uplink} is a bridge: the kernel makes no bridge a port of another"
        yield Problem(pointer=pointer, rule="uplink-bridge", message=message)
    elif _returns(doc, documents):
        message = f"the uplinks lead from {doc.key.name} back to {doc.key.name}"
        yield Problem(pointer=pointer, rule="uplink-loop", message=message)
    bond = documents.get(Key("Bond", spec.uplink))
    if bond is not None and UNSET not in (spec.mtu, bond.spec.mtu) and spec.mtu > bond.spec.mtu:
        message = f"mtu {spec.mtu} is more than that of the uplink, Bond/{spec.uplink}: {bond.spec.mtu}"
        yield Problem(pointer="/spec/mtu", rule="mtu-uplink", message=message)


def _returns(doc: Document, documents: Mapping[Key, Document]) -> bool:
    seen, name = {doc.key.name}, doc.spec.uplink
    while (bridge := documents.get(Key("Bridge", str(name)))) is not None:
        if bridge.key.name in seen:
            return True
        seen.add(bridge.key.name)
        name = bridge.spec.uplink
    return False


def _beside_others(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    own = device(doc.spec)
    if Key("Bond", doc.key.name) in documents:
        message = f"Bond/{doc.key.name} has the same name: a host has one link of a name"
        yield Problem(pointer="/metadata/name", rule="link-name-taken", message=message)
    for kind in ("Bond", "Bridge"):
        if own is not None and doc.spec.vlan is not UNSET and Key(kind, own) in documents:
            message = f"the VLAN device would be named {own}, as {kind}/{own} is"
            yield Problem(pointer="/spec/vlan", rule="link-name-taken", message=message)
    for key, other in documents.items():
        if key == doc.key or own is None:
            continue
        if key.kind == "Bridge" and device(other.spec) == own:
            what = f"VLAN {doc.spec.vlan} of {doc.spec.uplink}" if doc.spec.vlan is not UNSET else own
            pointer = "/spec/vlan" if doc.spec.vlan is not UNSET else "/spec/uplink"
            message = f"{what} is the uplink of {key} too: a link is a port of one bridge at most"
            yield Problem(pointer=pointer, rule="uplink-of-two", message=message)
        elif key.kind == "Bond" and doc.spec.uplink in other.spec.members:
            message = f"{doc.spec.uplink} is a member of {key}: what is in a bond has no other use"
            advice = f"make {key.name} the uplink"
            yield Problem(pointer="/spec/uplink", rule="uplink-is-member", message=message, advice=advice)
    yield from _shared_addresses(doc, documents)


def _shared_addresses(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    for index, text in enumerate(doc.spec.addresses):
        for key, other in documents.items():
            if key.kind == "Bridge" and key != doc.key and text in other.spec.addresses:
                message = f"{text} is an address of {key} too"
                yield Problem(pointer=f"/spec/addresses/{index}", rule="address-of-two", message=message)
