"""`cellctl lab` from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from tests.lab.traces import traces

pytestmark = pytest.mark.live


def cellctl(*args: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "cell_reconciler.cli", "lab", *args]
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def name() -> Iterator[str]:
    chosen = f"cli-{os.getpid()}"
    assert cellctl("up", chosen, "--kernel", "namespace", "--nic", "eth0").returncode == 0
    yield chosen
    assert cellctl("down", chosen).returncode == 0
    assert traces(chosen) == []


def test_it_outlives_the_command_that_started_it(name: str) -> None:
    assert Lab.get(name).info().status == "running"


def test_exec(name: str) -> None:
    assert cellctl("exec", name, "--", "hostname").stdout.strip() == name
    assert cellctl("exec", name, "--", "sh", "-c", "exit 9").returncode == 9
    assert cellctl("exec", name, "--", "sh", "-c", "kill -15 $$").returncode == 143
    assert cellctl("exec", name, "--", "cat", text="in").stdout == "in"
    assert cellctl("exec", name).returncode == 2


def test_status(name: str) -> None:
    labs = json.loads(cellctl("status", "--format", "json").stdout)["labs"]
    mine = next(lab for lab in labs if lab["name"] == name)
    assert (mine["status"], mine["nics"], mine["kernel"]) == ("running", ["eth0"], "namespace")
    assert name in cellctl("status").stdout


def test_refusals(name: str) -> None:
    again = cellctl("up", name, "--kernel", "namespace")
    assert again.returncode == 6
    assert "is running" in again.stderr
    nobody = cellctl("exec", "nobody", "--", "true")
    assert nobody.returncode == 1
    assert "cellctl lab up nobody" in nobody.stderr
    assert cellctl("up", "Not A Name").returncode == 2
    assert cellctl("down", "nobody").returncode == 0
