"""From differences to an ordered plan. Pure: no clock, no I/O, no randomness; ``now`` is an argument.

Theory. Each kind says for each of its resources what to do (``Kind.plan``). This package asks all of them
(``planner``), adds what no document declares any more (``prune``), takes away what may not be done (``gates``:
unknown sources, suspension, protection, permission) and puts the remaining steps in an order (``order``). ``diff``,
``apply`` and ``run`` use the same plan, so the diff cannot lie about the apply.
"""

from __future__ import annotations

from cell_reconciler.planning.planner import make_plan
from cell_reconciler.planning.policy import Policy

__all__ = ["Policy", "make_plan"]
