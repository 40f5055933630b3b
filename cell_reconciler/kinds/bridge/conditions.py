"""How well a bridge is: does its uplink reach the network?"""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.bridge import isolation
from cell_reconciler.kinds.bridge.observe import device
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.managers import also_managed
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document


def conditions(doc: Document, have: Observed | None, world: World) -> Iterator[Condition]:
    """``Degraded``, with the ports; ``Isolated`` of internal and reserved bridges; ``ManagedElsewhere``."""
    yield from isolation.conditions(doc, have, world)
    if have is None or have.detail is None or have.detail.kind != "bridge":
        return
    name, port = doc.key.name, device(doc.spec)
    yield from also_managed((name, port or ""), world)
    ports = sorted(p.name for p in graph_of(world.live).ports(name))
    fault = _fault(name, port, world) if port else None
    said = ([fault[1]] if fault else []) + [f"ports {', '.join(ports)}" if ports else "no ports"]
    yield Condition(
        type="Degraded",
        status=Truth.TRUE if fault else Truth.FALSE,
        reason=fault[0] if fault else "UplinkUp" if port else "NoUplinkDeclared",
        message="; ".join(said),
    )


def _fault(bridge: str, port: str, world: World) -> tuple[str, str] | None:
    link = world.live.links.get(port)
    if link is None or link.master != bridge:
        return "UplinkMissing", f"the uplink {port} is not a port of {bridge}"
    if not link.up:
        return "UplinkDown", f"the uplink {port} is down"
    if not link.carrier:
        return "UplinkNoCarrier", f"the uplink {port} has no carrier"
    return None
