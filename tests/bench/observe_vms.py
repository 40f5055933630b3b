"""The full observation of a host and the comparison of all its VMs, in one process: prints the seconds of both.

Specs are loaded before; nothing is remembered of an earlier pass.
"""

import sys
import time
from pathlib import Path

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.observe import observe
from cell_reconciler.kinds.world import pool_targets
from cell_reconciler.load import Specs
from cell_reconciler.planning import Policy, make_plan

loaded = Specs((Path(sys.argv[1]),), "bench").scan(None)
doors = Doors("qemu:///system")
started = time.monotonic()
live = observe(doors, "bench", pool_targets(loaded.documents))
plan = make_plan("bench", loaded, live, Policy())
elapsed = time.monotonic() - started
if not plan.empty:
    raise SystemExit("the VMs are not in sync")
print(elapsed)
