"""JUnit XML: one testcase a document or resource, so that CI shows which of them is at fault.

A finding of level error is a failure; others stand in ``system-out`` of a testcase that passed, for a difference is
not a fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO
from xml.etree import ElementTree

import msgspec

from cell_reconciler.cli.render.findings import Finding, Level, relative
from cell_reconciler.cli.render.style import escape


class Case(msgspec.Struct, frozen=True):
    """One testcase and what was found in it."""

    group: str  # the kind, or "specs"
    name: str
    findings: Sequence[Finding] = ()

    @property
    def failures(self) -> list[Finding]:
        return [f for f in self.findings if f.level == Level.ERROR]


def write(cases: Sequence[Case], stream: TextIO, *, suite: str, seconds: float = 0.0) -> None:
    """The testsuites document."""
    failed = str(sum(bool(case.failures) for case in cases))
    totals = {
        "name": _legal(suite),
        "tests": str(len(cases)),
        "failures": failed,
        "errors": "0",
        "time": f"{seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", totals)
    parent = ElementTree.SubElement(root, "testsuite", {**totals, "skipped": "0"})
    for case in cases:
        _case(parent, case)
    ElementTree.indent(root)
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(ElementTree.tostring(root, encoding="unicode"))
    stream.write("\n")


def by_file(findings: Sequence[Finding], base: str) -> list[Case]:
    """One case for each file that something was found in."""
    files: dict[str, list[Finding]] = {}
    for finding in findings:
        files.setdefault(relative(finding.position.file, base) if finding.position else "", []).append(finding)
    return [Case("specs", file, found) for file, found in files.items()]


def _case(parent: ElementTree.Element, case: Case) -> None:
    element = ElementTree.SubElement(
        parent, "testcase", {"classname": _legal(case.group), "name": _legal(case.name), "time": "0"}
    )
    if case.findings and case.findings[0].position:
        position = case.findings[0].position
        element.set("file", _legal(position.file))
        element.set("line", str(position.line))
    if case.failures:
        first = case.failures[0]
        failure = ElementTree.SubElement(element, "failure", {"type": first.rule, "message": _legal(first.message)})
        failure.text = _legal("\n".join(_line(f) for f in case.failures))
    others = [f for f in case.findings if f.level != Level.ERROR]
    if others:
        ElementTree.SubElement(element, "system-out").text = _legal("\n".join(_line(f) for f in others))


def _line(finding: Finding) -> str:
    place = f"{finding.position}: " if finding.position else ""
    return f"{place}{finding.level.value} [{finding.rule}] {finding.text}"


def _legal(text: str) -> str:
    """XML 1.0 has no control characters, escaped or not; they are made visible as in text."""
    return escape(text, keep="\n\t").replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
