"""Each scenario is valid for every host it names, and says what its README says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.installed import Installed
from tests.process import run

SCENARIOS = Path(__file__).resolve().parents[2] / "examples" / "scenarios"
# What a scenario is advised of, and means to do.
ADVICE = {"storage-controller": {"vm-host-device-migration", "vm-cpu-migration"}}
NAMES = sorted(p.name for p in SCENARIOS.iterdir() if p.is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid(name: str, installed: Installed) -> None:
    done = run(["cellctl", "validate", "-f", SCENARIOS / name, "--format", "json"], env=installed.env)
    found = json.loads(done.stdout)["diagnostics"]
    assert {(d["severity"], d["rule"]) for d in found} == {("warning", rule) for rule in ADVICE.get(name, ())}


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_in_it_is_found(name: str, installed: Installed, tmp_path: Path) -> None:
    """The check above can fail: the same folder with one unknown field is refused, at its place."""
    for path in (SCENARIOS / name).glob("*.yaml"):
        text = path.read_text()
        (tmp_path / path.name).write_text(re.sub(r"^kind: (\w+)$", r"kind: \1\nknid: x", text, count=1, flags=re.M))
    done = run(["cellctl", "validate", "-f", tmp_path, "--format", "json"], env=installed.env, code=4)
    found = json.loads(done.stdout)["diagnostics"]
    assert {d["rule"] for d in found} == {"unknown-field"}
    assert len(found) == len(list(tmp_path.glob("*.yaml")))


def test_the_readme_lists_all() -> None:
    listed = re.findall(r"^\| \[([\w-]+)\]", (SCENARIOS / "README.md").read_text(), flags=re.M)
    assert sorted(listed) == NAMES
