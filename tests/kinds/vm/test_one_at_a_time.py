"""Every field of a VM for itself: valid, rendered to XML that libvirt's schema takes, and read back as it was said."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect as mi

from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine import differ, observe, patch, xml
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark
from tests.kinds.vm.goals import Leaf, goals, item_of, leaves, reached
from tests.kinds.vm.make import VM, vm
from tests.kinds.vm.one_at_a_time import One, one, one_at_a_time
from tests.kinds.vm.schema import domain_schema, rendered
from tests.kinds.vm.surroundings import CLUSTER, POOL, around

CASES = tuple(one_at_a_time())
TEXTS = tuple(
    leaf
    for leaf in leaves()
    if leaf.goals and isinstance(item_of(leaf.type), mi.StrType) and item_of(leaf.type).pattern
)
MARK = Mark(Key("VirtualMachine", "any"), "0")


def _errors(doc: Document) -> list[Problem]:
    there = {document.key: document for document in (CLUSTER, POOL, doc)}
    return [problem for problem in VM.check(doc, there) if problem.severity == Severity.ERROR]


def test_every_field_and_every_value_of_the_model_has_a_case() -> None:
    own = {case.goal for case in CASES} | {case.goal.partition("=")[0] for case in CASES}
    assert set(goals()) - own == set()
    assert len({case.goal for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.goal)
def test_it_is_valid_says_what_it_is_for_and_reads_back_as_itself(case: One) -> None:
    doc = vm("any", **case.spec)
    assert case.goal.partition("=")[0] in set(reached(case.spec))
    assert _errors(doc) == []
    change = VM.plan(doc, None, around(doc))
    assert change.refused == ()
    root = rendered(change)
    domain_schema().assertValid(root)
    text = xml.text(root)
    domain = Domain(uuid="", name="any", state="shutoff", inactive=text, active=None, autostart=doc.spec.autostart)
    known = differ.known(doc, around(doc))
    assert compare(known.want, observe.configured(domain, known)) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.goal)
def test_it_is_patched_into_a_plain_domain_and_out_of_it(case: One) -> None:
    plain, doc = vm("any", machine=case.spec.get("machine", {})), vm("any", **case.spec)
    root = rendered(VM.plan(plain, None, around(plain)))
    states = []
    for wanted in (plain, doc, plain):
        known = differ.known(wanted, around(wanted))
        changes = compare(known.want, observe.in_words_of(observe.parse(root), known))
        context = Context(known.sources, chosen=known.chosen)
        patch.apply(root, known.want, context, {change.path for change in changes}, MARK)
        domain_schema().assertValid(root)
        left = compare(known.want, observe.in_words_of(observe.parse(root), known))
        assert {change.path for change in left} <= {"spec.autostart"}
        states.append(_shape(root))
    assert states[0] == states[2]


def _shape(element: Any) -> Any:
    """Whatever the order: what is made anew stands in another place.

    Without the SCSI controller, which stays for the next disk, and what libvirt itself adds to every ``<vcpu>``.
    """
    inside = sorted(_shape(child) for child in element if child.get("model") != "virtio-scsi")
    attributes = sorted(item for item in element.attrib.items() if item != ("placement", "static"))
    return (element.tag, attributes, element.text or "", inside)


@pytest.mark.parametrize("leaf", TEXTS, ids=lambda leaf: leaf.path)
def test_libvirts_schema_takes_every_character_that_a_pattern_allows(leaf: Leaf) -> None:
    """At the beginning, and further on; what a rule refuses is refused."""
    for text in _texts(leaf):
        doc = vm("any", **one(leaf.path, [text] if item_of(leaf.type) is not leaf.type else text).spec)
        change = VM.plan(doc, None, around(doc))
        if _errors(doc) or change.refused:  # of the latter: a volume of which nobody knows where it is
            continue
        root, known = rendered(change), differ.known(doc, around(doc))
        assert domain_schema().validate(root), text
        assert compare(known.want, observe.in_words_of(observe.parse(root), known)) == ()


def _texts(leaf: Leaf) -> Iterator[str]:
    """Variants of the field's last case that match its pattern: five more characters in it, or another first one."""
    pattern = re.compile(item_of(leaf.type).pattern)
    goal = [case.goal for case in CASES if case.goal.startswith(f"{leaf.path}=")][-1]
    sample = goal.partition("=")[2].strip('[]"')
    inside = [c for c in string.printable if pattern.search(f"{sample[:-1]}{c}{sample[-1]}")]
    for start in range(0, len(inside), 5):
        yield f"{sample[:-1]}{''.join(inside[start : start + 5])}{sample[-1]}"
    yield from (first + sample[1:] for first in f"0aA{string.punctuation} " if pattern.search(first + sample[1:]))


RBD = {"monitors": ["10.0.0.1"], "pool": "vms", "image": "a", "user": "cell"}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        # Written as -2147483648, and the domain cannot be changed then.
        ({"features": {"hyperv": {"spinlocks": 2**31}}}, "<="),
        ({"cdroms": [{"name": "cd", "bootOrder": 2**31}]}, "<="),
        ({"disks": [{"name": "root", "volume": "local/root", "iotune": {"totalBytesSec": 10**15 + 1}}]}, "<="),
        ({"disks": [{"name": "root", "source": {"rbd": {**RBD, "secret": {"usage": "a/b"}}}}]}, "usage"),
        ({"machine": {"type": "pc-q35-7.2+x"}}, "type"),
        ({"cdroms": [{"name": "cd", "media": "/"}]}, "media"),
        ({"interfaces": [{"name": "lan", "bridge": "br@0"}]}, "bridge"),
        ({"interfaces": [{"name": "lan", "bridge": "br0", "filter": {"name": "10-mine"}}]}, "filter"),
    ],
)
def test_what_libvirt_or_qemu_does_not_take_is_refused_by_the_schema(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        vm("any", **spec)
