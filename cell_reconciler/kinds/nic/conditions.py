"""How well a NIC is: does it reach the network?"""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import Observed
from cell_reconciler.kinds.nic.observe import is_nic
from cell_reconciler.kinds.nic.spec import AdminState
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document


def conditions(doc: Document, have: Observed | None) -> Iterator[Condition]:
    """``Degraded``: the NIC has no carrier, or somebody took it down. One that is declared down is well."""
    if have is None or not is_nic(have.detail):
        return
    link = have.detail
    reason, said, status = "NicUp", "has a carrier", Truth.FALSE
    if doc.spec.admin_state == AdminState.DOWN:
        reason, said = "DeclaredDown", "is down, as declared"
    elif not link.up:
        reason, said, status = "NicDown", "is down", Truth.TRUE
    elif not link.carrier:
        reason, said, status = "NicNoCarrier", "has no carrier: look at the cable and the switch", Truth.TRUE
    where = f"; in {link.master}" if link.master else ""
    yield Condition(type="Degraded", status=status, reason=reason, message=f"{link.name} {said}{where}")
