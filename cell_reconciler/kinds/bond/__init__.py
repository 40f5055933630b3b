"""Bond: several NICs that act as one.

The theory: the kernel lets most options of a bond change while it works; only its mode needs a bond that is down and
empty. So a bond is never deleted to be changed: it keeps its index, and with it the VLANs and the bridge on top.
Its members are wholly ours to say; whoever stands on it is not.
"""

from __future__ import annotations

from cell_reconciler.kinds.bond import observe, options, plan, rules
from cell_reconciler.kinds.bond.conditions import conditions
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.kinds.links.kind import LinkKind


class BondKind(LinkKind):
    """See ``kinds.contract.Kind``."""

    name = "Bond"
    spec = BondSpec
    link_kind = "bond"

    check = staticmethod(rules.check)
    owned = staticmethod(observe.owned)
    foreign = staticmethod(observe.foreign)
    observe = staticmethod(observe.observe)
    plan = staticmethod(plan.plan)
    conditions = staticmethod(conditions)
    usual = staticmethod(options.usual)  # see ``kinds.links.export``


KIND = BondKind()
