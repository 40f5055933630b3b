"""SARIF 2.1.0 (OASIS), as code scanning services read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from cell_reconciler import __version__
from cell_reconciler.cli.render.findings import Finding, Level, relative

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LIMIT = 5000  # GitHub keeps as many results of a run and rejects more than 25,000


def document(findings: Sequence[Finding], base: str) -> dict[str, Any]:
    """One run; the most important results first when there are too many."""
    kept = sorted(findings, key=lambda f: list(Level).index(f.level))[:LIMIT] if len(findings) > LIMIT else findings
    rules = sorted({f.rule for f in kept})
    driver = {
        "name": "cellctl",
        "version": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": rule.replace("-", " ")}} for rule in rules],
    }
    results = [_result(f, rules.index(f.rule), base) for f in kept]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": _distinct(results)}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, index: int, base: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level.value,
        "message": {"text": finding.text},
        "partialFingerprints": {"cellFinding/v1": finding.fingerprint(base)},
    }
    location: dict[str, Any] = {}
    if finding.position:
        location["physicalLocation"] = {
            "artifactLocation": {
                "uri": quote(relative(finding.position.file, base).encode("utf-8", "surrogatepass")),
                "uriBaseId": "%SRCROOT%",
            },
            "region": {"startLine": finding.position.line, "startColumn": finding.position.column},
        }
    if finding.place:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.place}]
    if location:
        result["locations"] = [location]
    return result


def _distinct(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number equal fingerprints, so that two equal findings in one file stay two."""
    seen: dict[str, int] = {}
    for result in results:
        mark = result["partialFingerprints"]["cellFinding/v1"]
        seen[mark] = seen.get(mark, 0) + 1
        result["partialFingerprints"]["cellFinding/v1"] = f"{mark}:{seen[mark]}"
    return results
