"""Golden folders: ``in*.yaml`` (and folders) → ``want.txt``, every finding as ``validate`` prints it.

A case is a folder; ``host.txt`` names a host, else all are validated. ``pytest --golden-update`` writes what was got.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cell_reconciler.load import Specs

CASES = sorted(path for path in (Path(__file__).parents[1] / "golden" / "load").iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_findings_are_those_of_the_golden_file(
    case: Path, golden_update: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    host = Path("host.txt").read_text().strip() if Path("host.txt").exists() else None
    inputs = sorted(path.name for path in case.iterdir() if path.name.startswith("in"))
    specs = Specs(inputs, host)
    loaded = specs.scan()
    lines = [f"{found}\n" + (f"    {found.advice}\n" if found.advice else "") for found in loaded.diagnostics]
    lines.append("documents: " + " ".join(sorted(map(str, loaded.documents))) + "\n")
    if loaded.elsewhere:
        lines.append("elsewhere: " + " ".join(sorted(map(str, loaded.elsewhere))) + "\n")
    got = "".join(lines)
    if golden_update:
        Path("want.txt").write_text(got)
    assert got == Path("want.txt").read_text()
