"""Internal and reserved bridges: what their documents may say, what is done for them, and how well they are isolated.

An *internal* bridge is the host's own: VMs on it reach the host by link-local addresses, and nobody reaches anything
else by it; ``filters`` has the rules that see to that. The filter is there before the bridge goes up and before it has
an address, and goes after the bridge. A port that leads out of the host and that somebody else plugged in is not ours
to remove: the filter keeps its frames out, and the bridge is not Ready until it is gone.

A *reserved* bridge belongs to another agent. It is never made, changed or deleted, only watched. All of it is pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from cell_reconciler.kinds.bridge.filters import GUESTS, DeleteFilter, SetFilter, filters
from cell_reconciler.kinds.bridge.spec import BridgeMode, BridgeSpec
from cell_reconciler.kinds.contract import Observed, Problem, World
from cell_reconciler.kinds.links.actions import SetMark
from cell_reconciler.kinds.links.changes import Steps
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.model.change import Change, Refusal, Risk, Verb
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document, spec_digest
from cell_reconciler.model.fields import UNSET, Effect, fields_of
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live

CLOUD0 = "cloud0"  # where the cloud's agent has the link-local addresses of its system VMs
NOT_INTERNAL = ("uplink", "vlan", "routes", "rules")  # ways out of the host
REDUCED = "the kernel lacks nft_meta_bridge: what is plugged in reaches each other, and a foreign uplink the host"


# --- what documents may say


def check(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """Rules of the mode, alone and beside the other documents of the host."""
    mode, name = doc.spec.mode, doc.key.name
    if name == CLOUD0 and mode == BridgeMode.NORMAL:
        message = "cloud0 carries the link-local network of system VMs: it must not reach a network outside"
        advice = "mode: internal, or mode: reserved where an agent of the cloud makes it"
        yield Problem(pointer="/spec/mode", rule="cloud0-mode", message=message, advice=advice)
    below = documents.get(Key("Bridge", str(doc.spec.uplink)))
    if below is not None and below.spec.mode != BridgeMode.NORMAL:
        message = f"{below.key} is {below.spec.mode.value}: nothing else may stand on it"
        yield Problem(pointer="/spec/uplink", rule="isolated-uplink", message=message)
    if mode == BridgeMode.INTERNAL:
        yield from _internal(doc.spec)
    elif mode == BridgeMode.RESERVED:
        yield from _reserved(doc.spec)


def _internal(spec: BridgeSpec) -> Iterator[Problem]:
    for field in NOT_INTERNAL:
        if getattr(spec, field) not in (UNSET, ()):
            message = f"an internal bridge has no {field}: it must not reach a network outside"
            yield Problem(pointer=f"/spec/{field}", rule="internal-way-out", message=message)
    if spec.stp is True:
        message = "an internal bridge needs no STP: without uplinks and with no traffic between ports there is no loop"
        yield Problem(pointer="/spec/stp", rule="internal-stp", message=message)
    for index, text in enumerate(spec.addresses):
        try:
            link_local = ipaddress.ip_interface(text).ip.is_link_local
        except ValueError:
            continue  # reported as what it is
        if not link_local:
            message = f"{text} is not link-local: an internal bridge has addresses of 169.254.0.0/16 and fe80::/10 only"
            yield Problem(pointer=f"/spec/addresses/{index}", rule="internal-address", message=message)


def _reserved(spec: BridgeSpec) -> Iterator[Problem]:
    default = BridgeSpec()
    for field in fields_of(BridgeSpec):
        if field.change == Effect.POLICY or field.name == "mode":
            continue
        if getattr(spec, field.name) != getattr(default, field.name):
            message = f"a reserved bridge belongs to another agent: {field.yaml} cannot be declared for it"
            yield Problem(pointer=f"/spec/{field.yaml}", rule="reserved-field", message=message)


# --- what is there


def mode_of(key: Key, world: World) -> BridgeMode:
    """The mode that a live bridge is in: internal if its filter is as it has to be, or if nobody declares one."""
    doc = world.documents.get(key)
    have = _filter(key.name, world.live)
    if doc is not None and doc.spec.mode == BridgeMode.RESERVED:
        return BridgeMode.RESERVED
    if have is None:
        return BridgeMode.RESERVED if doc is None and key.name == CLOUD0 else BridgeMode.NORMAL
    if doc is not None and doc.spec.mode == BridgeMode.INTERNAL and have not in _accepted(key.name):
        return BridgeMode.NORMAL
    return BridgeMode.INTERNAL


def leftovers(live: Live) -> Iterable[str]:
    """Bridges that are gone while our filter is still there: a crash between the two, or somebody else deleted it."""
    return (name for name in live.filters or () if name not in live.links)


def _filter(name: str, live: Live) -> str | None:
    return (live.filters or {}).get(name)


def _accepted(name: str) -> tuple[str, ...]:
    """Digests that count as isolated, the strongest first."""
    return tuple(one.digest() for one in filters(name))


# --- what to do


def before(steps: Steps, doc: Document, have: Observed | None, world: World) -> None:
    """The filter of an internal bridge: before anything else of it changes."""
    name = doc.key.name
    if doc.spec.mode != BridgeMode.INTERNAL or _filter(name, world.live) in _accepted(name):
        return
    # Whoever flushed the rules took away what was declared: putting it back is no new restriction. Neither is it one
    # for a bridge that has been isolated all the time by an older version of the rules.
    known = have is not None and have.mark is not None and have.mark.digest == spec_digest(doc.spec)
    harm = graph_of(world.live).cut(name) if have is not None and not known else (Risk.NONE, "")
    steps.add("filter", f"isolate {name} by nftables", SetFilter(bridge=name), harm)


def after(steps: Steps, key: Key, world: World) -> None:
    """The filter of a bridge that is internal no more, or gone: after everything else."""
    if _filter(key.name, world.live) is not None:
        steps.add("filter.delete", f"remove the packet filter of {key.name}", DeleteFilter(bridge=key.name))


def objections(doc: Document, world: World) -> Iterator[Refusal]:
    """Live ways out of an internal bridge."""
    out = _ways_out(doc.key.name, world.live)
    if doc.spec.mode == BridgeMode.INTERNAL and out:
        advice = f"take it off {doc.key.name}; its frames are dropped meanwhile"
        yield Refusal(reason="ForeignUplink", message=_said(doc.key.name, out), advice=advice)


def notes(doc: Document, world: World) -> tuple[str, ...]:
    """What is said beside the change: a guarantee that is less than the whole."""
    reduced = doc.spec.mode == BridgeMode.INTERNAL and _filter(doc.key.name, world.live) == _accepted(doc.key.name)[1]
    return (REDUCED,) if reduced else ()


def reserved(doc: Document, have: Observed | None, world: World) -> Change:
    """Hands off; a bridge that was ours before is given up, and our filter of it with it."""
    key, steps = doc.key, Steps(doc.key)
    after(steps, key, world)
    if have is not None and have.mark is not None:
        steps.add("give-up", f"leave {key.name} to its agent", SetMark(name=key.name, alias=""))
    faults = list(_violations(key.name, world.live))
    refused = tuple(
        Refusal(reason="Violated", message=fault, advice="remove it, or ask the agent that owns the bridge")
        for fault in faults
    )
    verb = Verb.UPDATE if steps.steps else Verb.NONE
    return Change(key=key, verb=verb, steps=tuple(steps.steps), refused=refused, position=doc.position)


def _violations(name: str, live: Live) -> Iterator[str]:
    link = live.links.get(name)
    if link is None:
        return
    if link.kind != "bridge":
        yield f"{name} is no bridge but {link.kind or 'a NIC'}"
    if out := _ways_out(name, live):
        yield _said(name, out)
    if ours := [a for a in link.owned_addresses if not ipaddress.ip_interface(a).ip.is_link_local]:
        yield f"{name} has {', '.join(ours)}, an address of this host that we once set"


def _ways_out(name: str, live: Live) -> list[str]:
    """Ports through which frames could leave the host or enter it, and links that stand on the bridge."""
    graph = graph_of(live)
    ports = (port.name for port in graph.ports(name) if port.kind not in GUESTS)
    return sorted((*ports, *(upper.name for upper in graph.stacked(name))))


def _said(name: str, out: list[str]) -> str:
    return f"{', '.join(out)} leads out of {name}, which must not reach a network outside"


# --- how well it is


def conditions(doc: Document, have: Observed | None, world: World) -> Iterator[Condition]:
    """``Isolated``, of internal and reserved bridges that are there."""
    name, mode = doc.key.name, doc.spec.mode
    if have is None or have.detail is None or mode == BridgeMode.NORMAL:
        return
    if mode == BridgeMode.RESERVED:
        faults = "; ".join(_violations(name, world.live))
        yield _isolated(Truth.FALSE if faults else Truth.TRUE, "Violated" if faults else "Reserved", faults)
    elif world.live.filters is None:
        yield _isolated(Truth.UNKNOWN, "FilterUnknown", "nftables did not answer")
    elif (found := _filter(name, world.live)) not in _accepted(name):
        yield _isolated(Truth.FALSE, "FilterMissing", f"the packet filter of {name} is not there or was changed")
    elif out := _ways_out(name, world.live):
        yield _isolated(Truth.FALSE, "ForeignUplink", _said(name, out))
    elif found == _accepted(name)[1]:
        yield _isolated(Truth.FALSE, "FilterReduced", REDUCED)
    else:
        yield _isolated(Truth.TRUE, "Filtered", "")


def _isolated(status: Truth, reason: str, message: str) -> Condition:
    return Condition(type="Isolated", status=status, reason=reason, message=message)
