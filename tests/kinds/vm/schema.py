"""libvirt's own RelaxNG schema of a domain, and the tree that a plan would define."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from cell_reconciler.kinds.virtual_machine import actions
from cell_reconciler.model.change import Change

_SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


@cache
def domain_schema() -> etree.RelaxNG:
    if not _SCHEMA.exists():
        pytest.skip("libvirt's schemas are not installed")
    return etree.RelaxNG(etree.parse(_SCHEMA))


def rendered(change: Change) -> Any:
    return next(step.action for step in change.steps if isinstance(step.action, actions.Define)).tree()
