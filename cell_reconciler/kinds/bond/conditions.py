"""How well a bond is: members that are missing, down or without a carrier."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document


def conditions(doc: Document, have: Observed | None, world: World) -> Iterator[Condition]:
    """``Degraded``, with the active member in its message."""
    if have is None or have.detail.kind != "bond":
        return
    faults = [fault for nic in doc.spec.members if (fault := _fault(nic, doc.key.name, world))]
    active = have.detail.data.get("bond_active_slave")
    said = [text for _, text in faults] + ([f"active member {active}"] if active else [])
    yield Condition(
        type="Degraded",
        status=Truth.TRUE if faults else Truth.FALSE,
        reason=faults[0][0] if faults else "MembersUp",
        message="; ".join(said),
    )


def _fault(nic: str, bond: str, world: World) -> tuple[str, str] | None:
    link = world.live.links.get(nic)
    if link is None:
        return "MemberMissing", f"{nic} is not there"
    if link.master != bond:
        return "MemberMissing", f"{nic} is not in the bond"
    if not link.up:
        return "MemberDown", f"{nic} is down"
    if not link.carrier:
        return "MemberNoCarrier", f"{nic} has no carrier"
    if link.port.get("bond_slave_mii_status", "up") != "up":
        return "MemberDown", f"{nic} is {link.port['bond_slave_mii_status']} for the bond"
    return None
