"""The hooks, run by the real pre-commit in a real commit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.examples.conftest import INVALID, VALID, Repository
from tests.installed import Installed
from tests.process import run

HERE = Path(__file__).resolve().parents[2] / "examples" / "gitops" / "pre-commit"


@pytest.fixture(scope="module")
def precommit(installed: Installed) -> Path:
    """pre-commit itself, beside cellctl."""
    run([installed.bin / "python", "-m", "pip", "install", "--quiet", "pre-commit>=3,<5"])
    return installed.bin / "pre-commit"


def test_local_hook(repository: Repository, precommit: Path) -> None:
    shutil.copy(HERE / ".pre-commit-config.yaml", repository.place)
    run([precommit, "install"], cwd=repository.place, env=repository.env)
    before = repository.commit({"specs/br-b.yaml": VALID.replace("br-a", "br-b")})

    (repository.place / "specs/br-b.yaml").write_text(INVALID.replace("br-a", "br-b"))
    repository.git("add", "--all")
    refused = run(["git", "commit", "-m", "bad"], cwd=repository.place, env=repository.env, code=1)
    assert "specs/br-b.yaml:6:8: error [type]" in refused.stdout + refused.stderr
    assert repository.git("rev-parse", "HEAD") == before


def test_shared_hook(repository: Repository, precommit: Path, tmp_path: Path) -> None:
    """``try-repo`` uses a hook repository without a tag."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(HERE / ".pre-commit-hooks.yaml", hooks)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "hook"]):
        run(["git", *command], cwd=hooks, env=repository.env)
    argv = [precommit, "try-repo", hooks, "cellctl-validate", "--all-files"]
    run(argv, cwd=repository.place, env=repository.env)
    (repository.place / "specs/br-a.yaml").write_text(INVALID)
    refused = run(argv, cwd=repository.place, env=repository.env, code=1)
    assert "specs/br-a.yaml:6:8: error [type]" in refused.stdout + refused.stderr
