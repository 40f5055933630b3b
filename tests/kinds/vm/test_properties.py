"""Any valid spec: renders to valid XML that reads back as itself, and patches any other into itself."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given

from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.virtual_machine import differ, observe, patch, xml
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.mark import Mark
from tests.kinds.vm.make import VM
from tests.kinds.vm.schema import domain_schema, rendered
from tests.kinds.vm.specs import specs
from tests.kinds.vm.surroundings import around


def _tree(doc: Document) -> Any:
    return rendered(VM.plan(doc, None, around(doc)))


def _known(doc: Document) -> observe.Known:
    return differ.known(doc, around(doc))


def _read(root: Any, known: observe.Known) -> VirtualMachineSpec:
    """As the document puts it; autostart is no part of the XML."""
    assert known.want is not None
    return msgspec.structs.replace(observe.in_words_of(observe.parse(root), known), autostart=known.want.autostart)


@given(specs())
def test_a_valid_spec_renders_to_valid_xml_that_reads_as_itself(doc: Document) -> None:
    root, known = _tree(doc), _known(doc)
    domain_schema().assertValid(root)
    assert compare(known.want, _read(root, known)) == ()


@given(specs())
def test_what_is_defined_as_declared_needs_nothing(doc: Document) -> None:
    text = xml.text(_tree(doc))
    there = Domain(uuid="", name="any", state="shutoff", inactive=text, active=None, autostart=doc.spec.autostart)
    here = around(doc, Live(host="h1", domains={"any": there}))
    have = VM.observe("any", here)
    assert have is not None
    change = VM.plan(doc, have, here)
    assert change.refused == ()
    assert change.fields == () or [f.path for f in change.fields] == ["spec.runStrategy"]
    assert {step.op for step in change.steps} <= {"vm.start", "vm.port"}


@given(specs(), specs())
def test_patching_one_spec_into_another_gives_the_other(before: Document, after: Document) -> None:
    root, known = _tree(before), _known(after)
    want = known.want
    assert want is not None
    stranger = root.makeelement("stranger", {"keep": "me"})
    root.find("devices").append(stranger)
    changes = compare(want, _read(root, known))
    mark = Mark(Key("VirtualMachine", "any"), "0")
    patch.apply(root, want, Context(known.sources, chosen=known.chosen), {c.path for c in changes}, mark)
    assert compare(want, _read(root, known)) == ()
    assert stranger.getparent() is root.find("devices")
    stranger.getparent().remove(stranger)
    domain_schema().assertValid(root)
