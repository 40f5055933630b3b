"""Rules for Bond documents that JSON Schema cannot say.

What the kernel would refuse, what it would silently make into something else (pitfalls of bond_options.c), and what
contradicts itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.bond import options
from cell_reconciler.kinds.bond.modes import MIIMON_MODES, BondMode
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.index import index_of
from cell_reconciler.kinds.links.marks import name_fault
from cell_reconciler.kinds.links.rules import declared, holder, name_taken, port_without_network
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

# The names that CloudStack's agent takes for a physical interface (LibvirtComputingResource.ifNamePatterns).
_PHYSICAL = re.compile(r"^(eth|bond|vlan|vx|em|ens|eno|enp|team|enx|dummy|p\d+p\d+)")


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """All problems of one document, alone and beside the others of its host."""
    spec = doc.spec
    if fault := name_fault(doc.key.name):
        yield Problem(pointer="/metadata/name", rule="link-name", message=fault)
    yield from _members(doc.key.name, spec)
    # What an adopted bond leaves out is not known here; the plan looks at it.
    named = doc.given.get("spec") or {}
    if not doc.adopts or "mode" in named:
        yield from _modes(spec)
    if not doc.adopts or {"miimon", "arpInterval"} & set(named):
        yield from _monitor(spec)
    yield from _targets(spec)
    yield from _addresses(spec)
    yield from _beside_others(doc, documents)
    yield from layer3.check(doc, documents)


def _members(name: str, spec: BondSpec) -> Iterator[Problem]:
    for index, member in enumerate(spec.members):
        pointer = f"/spec/members/{index}"
        if member in spec.members[:index]:
            yield Problem(pointer=pointer, rule="member-twice", message=f"{member} is listed twice")
        if member in (name, "lo"):
            yield Problem(pointer=pointer, rule="member", message=f"{member} cannot be a member of {name}")
    for field, rule, nic in (
        ("primary", "primary-member", spec.primary),
        ("activeSlave", "active-member", spec.active_slave),
    ):
        if nic is not UNSET and nic not in spec.members:
            yield Problem(pointer=f"/spec/{field}", rule=rule, message=f"{field} {nic} is not among the members")
    if spec.active_slave in spec.members and spec.active_slave not in (preferred := _preferred(spec)):
        message = f"activeSlave {spec.active_slave} is not what the bond is told to prefer: {', '.join(preferred)}"
        yield Problem(pointer="/spec/activeSlave", rule="active-preferred", message=message, advice="leave it out")
    for field, numbers in (("prio", spec.prio), ("queueId", spec.queue_id)):
        for nic in () if numbers is UNSET else sorted(numbers.keys() - set(spec.members)):
            message = f"{field} names {nic}, which is not among the members"
            yield Problem(pointer=f"/spec/{field}/{nic}", rule="number-member", message=message)
    yield from _queues(spec)
    if spec.min_links is not UNSET and spec.min_links > len(spec.members):
        message = f"minLinks {spec.min_links} of {len(spec.members)} members: {name} will never have a carrier"
        yield Problem(pointer="/spec/minLinks", rule="min-links", message=message, severity=Severity.WARNING)


def _preferred(spec: BondSpec) -> list[str]:
    """The members that the kernel would choose, all else being equal (bond_choose_primary_or_current)."""
    if spec.primary is not UNSET:
        return [spec.primary]
    prio = {} if spec.prio is UNSET else spec.prio
    highest = max((prio.get(nic, 0) for nic in spec.members), default=0)
    return [nic for nic in spec.members if prio.get(nic, 0) == highest]


def _queues(spec: BondSpec) -> Iterator[Problem]:
    taken: dict[int, str] = {}
    for nic, queue in () if spec.queue_id is UNSET else spec.queue_id.items():
        if queue and queue in taken:
            message = f"{nic} and {taken[queue]} cannot both have queue {queue}"
            yield Problem(pointer=f"/spec/queueId/{nic}", rule="queue-twice", message=message)
        taken.setdefault(queue, nic)


def _modes(spec: BondSpec) -> Iterator[Problem]:
    """The kernel refuses a whole request for one option that its mode does not have (EACCES)."""
    for field in options.given(spec):
        if not options.counts(field.name, spec.mode):
            modes = ", ".join(mode for mode in BondMode if options.counts(field.name, mode))
            message = f"mode {spec.mode} has no {field.yaml}; it is an option of {modes}"
            yield Problem(
                pointer=f"/spec/{field.yaml}",
                rule="option-mode",
                message=message,
                advice=f"leave {field.yaml} out, or choose another mode",
            )
    if spec.miimon == 0 and spec.mode in MIIMON_MODES:
        message = f"mode {spec.mode} cannot work without looking at the carrier: miimon must not be 0"
        yield Problem(pointer="/spec/miimon", rule="miimon-mode", message=message)


def _monitor(spec: BondSpec) -> Iterator[Problem]:
    miimon, interval = options.effective_miimon(spec), 0 if spec.arp_interval is UNSET else spec.arp_interval
    if interval and miimon:
        message = f"miimon {miimon} and arpInterval {interval} exclude each other: the kernel runs one of them"
        yield Problem(pointer="/spec/arpInterval", rule="monitor-both", message=message, advice="leave one of them out")
    if interval and not any(targets is not UNSET and targets for targets in (spec.arp_ip_target, spec.ns_ip6_target)):
        message = (
            f"arpInterval {interval} without arpIpTarget or nsIp6Target: nobody is asked, so no member counts as up"
        )
        yield Problem(pointer="/spec/arpInterval", rule="arp-target", message=message)
    if spec.arp_validate not in (UNSET, "none") and not interval:
        message = f"arpValidate {spec.arp_validate} needs arpInterval: without it nothing is asked"
        yield Problem(pointer="/spec/arpValidate", rule="arp-validate", message=message)
    for name in options.DELAYS:
        delay, yaml = getattr(spec, name), options.FIELDS[name].yaml
        if delay is UNSET or (used := options.multiple(delay, miimon)) == delay:
            continue
        message = f"{yaml} {delay} is not a multiple of miimon {miimon}: the kernel would use {used}"
        advice = f"write {used} or {used + miimon}" if miimon else f"leave {yaml} out, or set miimon"
        yield Problem(pointer=f"/spec/{yaml}", rule="delay-multiple", message=message, advice=advice)
    if UNSET not in (spec.num_grat_arp, spec.num_unsol_na) and spec.num_grat_arp != spec.num_unsol_na:
        message = f"numGratArp {spec.num_grat_arp} and numUnsolNa {spec.num_unsol_na} are one number for the kernel"
        yield Problem(pointer="/spec/numUnsolNa", rule="peer-notifications", message=message, advice="leave one out")


def _targets(spec: BondSpec) -> Iterator[Problem]:
    for field, version, targets in (("arpIpTarget", 4, spec.arp_ip_target), ("nsIp6Target", 6, spec.ns_ip6_target)):
        seen: set[str] = set()
        for index, text in enumerate(() if targets is UNSET else targets):
            pointer = f"/spec/{field}/{index}"
            if fault := _target_fault(text, version):
                yield Problem(pointer=pointer, rule="target", message=f"{text} {fault}")
                continue
            address = str(ipaddress.ip_address(text))
            if address in seen:
                yield Problem(pointer=pointer, rule="target-twice", message=f"{text} is listed twice")
            seen.add(address)


def _target_fault(text: str, version: int) -> str | None:
    """bond_is_ip_target_ok, bond_is_ip6_target_ok, and what nobody can answer for."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return f"is no IPv{version} address"
    if address.version != version:
        return f"is no IPv{version} address"
    broadcast = version == 4 and address == ipaddress.IPv4Address("255.255.255.255")
    if address.is_unspecified or address.is_loopback or address.is_multicast or broadcast:
        return "is no address of a neighbour"
    return None


def _addresses(spec: BondSpec) -> Iterator[Problem]:
    for field, mac in (("mac", spec.mac), ("adActorSystem", spec.ad_actor_system)):
        if mac is not UNSET and not mac.unicast:
            message = f"{mac} is a group address, no interface can have it"
            yield Problem(pointer=f"/spec/{field}", rule="mac-unicast", message=message)
    if spec.mac is not UNSET and spec.fail_over_mac == "active" and spec.mode == BondMode.ACTIVE_BACKUP:
        message = "failOverMac active gives the bond the address of its active member, so it cannot have a mac"
        yield Problem(pointer="/spec/mac", rule="mac-fail-over", message=message, advice="leave one of them out")


def _beside_others(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    name, held = doc.key.name, holder(doc.key.name, documents)
    yield from name_taken(doc, documents)
    yield from port_without_network(doc, held)
    if (held is not None or _standing_on(name, documents)) and not _PHYSICAL.match(name):
        message = f"CloudStack's agent does not take {name} for a physical interface: it finds no networks on it"
        advice = "begin the name with bond"
        yield Problem(
            pointer="/metadata/name", rule="agent-name", message=message, severity=Severity.WARNING, advice=advice
        )
    for index, member in enumerate(doc.spec.members):
        yield from _other_use(doc, f"/spec/members/{index}", member, documents)


def _standing_on(name: str, documents: Mapping[Key, Document]) -> list[Key]:
    """The Vlans and access bridges that make a VLAN device on this link."""
    return [key for (below, _), keys in index_of(documents).tags.items() if below == name for key in keys]


def _other_use(doc: Document, pointer: str, member: str, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    index = index_of(documents)
    for other in declared(member, documents):
        if other.key.kind != "Nic" and other.key != doc.key:
            message = f"{member} is {other.key}: only NICs can be members of a bond"
            yield Problem(pointer=pointer, rule="member-kind", message=message)
    for key in index.members.get(member, ()):
        if key != doc.key:
            message = f"{member} is a member of {key} too: a NIC is in one bond at most"
            yield Problem(pointer=pointer, rule="member-of-two", message=message)
    for key in (*index.ports.get(member, ()), *_standing_on(member, documents)):
        role = "uplink" if key.kind == "Bridge" else "parent"
        message = f"{member} is the {role} of {key}: what is in a bond has no other use"
        advice = f"make {doc.key.name} the {role} of {key.name}"
        yield Problem(pointer=pointer, rule="member-is-uplink", message=message, advice=advice)
