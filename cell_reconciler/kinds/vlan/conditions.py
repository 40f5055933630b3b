"""How well a VLAN is: does it reach the network?"""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import Observed
from cell_reconciler.model.condition import Condition, Truth


def conditions(have: Observed | None) -> Iterator[Condition]:
    """``Degraded``: the link is down, or what is below it has no carrier."""
    if have is None or have.detail.kind != "vlan":
        return
    link = have.detail
    reason, said, status = "LinkUp", f"is up on {link.parent}", Truth.FALSE
    if not link.up:
        reason, said, status = "LinkDown", "is down", Truth.TRUE
    elif not link.carrier:
        reason, said, status = "NoCarrier", f"has no carrier, since {link.parent} has none", Truth.TRUE
    where = f"; a port of {link.master}" if link.master else ""
    yield Condition(type="Degraded", status=status, reason=reason, message=f"{link.name} {said}{where}")
