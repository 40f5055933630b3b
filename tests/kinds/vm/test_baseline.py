"""``cpu.mode: cluster-baseline``: what the Cluster document says, pending when it changes, and an error without it."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.model.change import Cause
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain
from tests.kinds.vm.hosts import RECORDED, on
from tests.kinds.vm.make import VM, document, planned, vm
from tests.kinds.vm.schema import domain_schema, rendered

BASELINE: dict[str, Any] = {"model": "Haswell-noTSX", "vendor": "Intel", "features": {"disable": ["pcid", "invpcid"]}}
DOC = vm("web", cpu={"mode": "cluster-baseline"})


def cluster(**baseline: Any) -> Document:
    spec = {"cpuBaseline": baseline} if baseline else {}
    return document({"apiVersion": "cell/v1", "kind": "Cluster", "metadata": {"name": "c"}, "spec": spec})


def test_the_vm_gets_exactly_that_cpu() -> None:
    root = rendered(planned(DOC, on(None, DOC, cluster(**BASELINE))))
    domain_schema().assertValid(root)
    cpu = root.find("cpu")
    assert dict(cpu.attrib) == {"mode": "custom", "match": "exact", "check": "partial"}
    assert (cpu.find("model").get("fallback"), cpu.findtext("model")) == ("forbid", "Haswell-noTSX")
    assert cpu.findtext("vendor") == "Intel"
    assert {f.get("name"): f.get("policy") for f in cpu.findall("feature")} == {"pcid": "disable", "invpcid": "disable"}


def test_the_vms_own_features_count_before_those_of_the_baseline() -> None:
    features = {"require": ["pcid", "aes"], "disable": ["avx2"]}
    doc = vm("web", cpu={"mode": "cluster-baseline", "features": features})
    base = {"model": "Haswell-noTSX", "features": {"require": ["avx2", "ssse3"], "disable": ["pcid"]}}
    root = rendered(planned(doc, on(None, doc, cluster(**base))))
    found = {f.get("name"): f.get("policy") for f in root.findall("cpu/feature")}
    assert found == {"pcid": "require", "aes": "require", "ssse3": "require", "avx2": "disable"}


def _running() -> Domain:
    text = xml.text(rendered(planned(DOC, on(None, DOC, cluster(**BASELINE)))))
    return Domain(uuid="", name="web", state="running", inactive=text, active=text)


def test_the_same_baseline_is_nothing_to_do_and_another_waits_for_a_restart() -> None:
    assert planned(DOC, on(None, DOC, cluster(**BASELINE), domains=(_running(),))).quiet
    older = cluster(**{**BASELINE, "model": "Westmere"})
    change = planned(DOC, on(None, DOC, older, domains=(_running(),)))
    assert [step.op for step in change.steps] == ["vm.redefine"]
    assert [(f.path, f.have, f.want) for f in change.pending] == [("spec.cpu.model", "Haswell-noTSX", "Westmere")]
    assert change.cause == Cause.SPEC, "the Cluster document said so"


@pytest.mark.parametrize("others", [(), (cluster(),)])
def test_without_a_document_it_is_an_error_and_nothing_is_planned(others: tuple[Document, ...]) -> None:
    documents = {doc.key: doc for doc in (DOC, *others)}
    [problem] = [p for p in VM.check(DOC, documents) if p.severity == "error"]
    assert (problem.rule, problem.pointer) == ("vm-cpu-baseline", "/spec/cpu/mode")
    for domains in ((), (_running(),)):
        change = planned(DOC, on(None, DOC, *others, domains=domains))
        assert ([r.reason for r in change.refused], change.steps) == (["NoBaseline"], ())


def test_a_host_that_cannot_run_it_says_so() -> None:
    base = {"model": "Skylake-Server", "features": {"require": ["avx512f"]}}
    [refusal] = planned(DOC, on(RECORDED, DOC, cluster(**base))).refused
    assert refusal.reason == "CpuUnfit"
    assert "Skylake-Server, nor avx512f" in refusal.message


@pytest.mark.parametrize(
    ("cpu", "rule"),
    [({"mode": "cluster-baseline", "model": "EPYC"}, "vm-cpu-model"), ({"vendor": "AMD"}, "vm-cpu-vendor")],
)
def test_what_says_nothing_is_refused(cpu: dict[str, Any], rule: str) -> None:
    doc, there = vm("web", cpu=cpu), cluster(**BASELINE)
    found = [p.rule for p in VM.check(doc, {doc.key: doc, there.key: there}) if p.severity == "error"]
    assert found == [rule]


def test_a_baseline_does_not_require_what_it_disables() -> None:
    doc = cluster(model="EPYC", features={"require": ["aes"], "disable": ["aes"]})
    assert [p.rule for p in kind("Cluster").check(doc, {})] == ["cluster-cpu-features"]
