"""Documents → the XML of a new domain, against golden files; each is valid under libvirt's own schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.virtual_machine import observe, resolve, sources
from cell_reconciler.kinds.world import build
from cell_reconciler.model.live import Live
from tests.kinds.vm.make import VM, documents
from tests.kinds.vm.schema import domain_schema, rendered

GOLDEN = Path(__file__).parents[2] / "golden" / "render"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES)
def test_renders_as_the_golden_file_says(case: str, golden_update: bool) -> None:
    docs = documents((GOLDEN / case / "spec.yaml").read_text())
    doc = next(doc for key, doc in docs.items() if key.kind == VM.name)
    world = build("h1", docs, Live(host="h1"))
    root = rendered(VM.plan(doc, None, world))
    etree.indent(root, space="  ")
    got = etree.tostring(root, encoding="unicode", pretty_print=True)
    want = GOLDEN / case / "want.xml"
    if golden_update:
        want.write_text(got)
    assert got == want.read_text(), "look at it, then: pytest --golden-update"
    domain_schema().assertValid(root)
    # What we write is what we read.
    words = observe.Known(resolve.effective(doc), sources.wanted(doc.spec, world), world.pools)
    assert compare(words.want, observe.in_words_of(observe.parse(etree.fromstring(got)), words)) == ()
