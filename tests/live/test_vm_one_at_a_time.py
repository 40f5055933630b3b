"""Every field of a VM for itself on a real libvirt: defined, observed, and nothing is left to do.

Nothing is started, so that it does not matter whether this host has the room, the CPU or the devices for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import differ, observe
from cell_reconciler.model.document import Document
from tests.kinds.vm.make import planned, vm
from tests.kinds.vm.one_at_a_time import One, one_at_a_time
from tests.kinds.vm.one_at_a_time_tables import SECRET
from tests.kinds.vm.surroundings import on_host
from tests.live.test_vm import STARTING, Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

CASES = {case.goal: case for case in one_at_a_time()}


@pytest.fixture
def clean(site: Site) -> Iterator[Site]:  # noqa: F811
    yield site
    site.doors.libvirt.undefine("any")
    for path in site.doors.seeds.images("any"):
        site.doors.seeds.remove("any", path)


def _document(case: One, directory: Path) -> Document:
    (directory / "secret").write_text("secret12")
    return vm("any", **json.loads(json.dumps(case.spec).replace(SECRET, str(directory / "secret"))))


def _world(site: Site, doc: Document) -> World:  # noqa: F811
    return on_host(doc, site.live(doc), site.pool)


def _define(site: Site, doc: Document) -> None:  # noqa: F811
    change = planned(doc, _world(site, doc))
    assert change.refused == ()
    for step in change.steps:
        if step.op not in STARTING:
            step.action.do(site.doors)


@pytest.mark.parametrize("goal", CASES)
def test_what_is_defined_is_observed_as_it_was_said(clean: Site, tmp_path: Path, goal: str) -> None:
    doc = _document(CASES[goal], tmp_path)
    _define(clean, doc)
    here, domain = _world(clean, doc), clean.doors.libvirt.domain("any")
    assert domain is not None
    known = differ.known(doc, here)
    assert compare(known.want, observe.configured(domain, known)) == ()
    again = planned(doc, here)
    assert {field.path for field in again.fields} <= {"spec.runStrategy"}
    assert {step.op for step in again.steps} <= STARTING
