"""The status of every resource as the host is now, without writing anything down."""

from __future__ import annotations

import argparse

from cell_reconciler.cli.session import moment, open_engine
from cell_reconciler.model.diagnostic import Diagnostic
from cell_reconciler.status.records import ResourceStatus
from cell_reconciler.status.reduce import reduce


def look(args: argparse.Namespace) -> tuple[list[ResourceStatus], tuple[Diagnostic, ...]]:
    """Load, observe, plan, and reduce as a pass would that changes nothing."""
    with open_engine(args) as engine:
        loaded = engine.load()
        live = engine.observe(loaded.documents)
        plan = engine.plan(loaded, live)
        known = [change.key for change in plan.changes if change.key in loaded.documents]
        before = {status.key: status for status in engine.status.resources()}
        health = engine.health(loaded, live, known)
        states = reduce(before, loaded, plan, (), health, moment(), executed=False)
    return [states[key] for key in sorted(states)], loaded.diagnostics
