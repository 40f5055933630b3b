"""Specs at a git revision."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cell_reconciler.errors import CellError, UsageError
from cell_reconciler.load import load_files, load_git
from cell_reconciler.model.key import Key


def host(name: str, type: str = "kvm") -> str:
    return f"apiVersion: cell/v1\nkind: Host\nmetadata: {{name: {name}}}\nspec: {{domainType: {type}}}\n"


def git(root: Path, *argv: str) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    name = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(root), *name, *argv], check=True, env=env, capture_output=True)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    specs = tmp_path / ".config" / "specs"  # a hidden folder above the specs does not hide them
    (specs / "nested").mkdir(parents=True)
    (specs / "a.yaml").write_text(host("a"))
    (specs / "nested" / "b.yml").write_text(host("b"))
    (specs / ".hidden.yaml").write_text("kind: [")
    (tmp_path / "workflow.yaml").write_text("on: push\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "tag", "v1")
    (specs / "a.yaml").write_text(host("a", "qemu"))
    (specs / "nested" / "b.yml").unlink()
    (specs / "c.yaml").write_text(host("c"))
    monkeypatch.chdir(tmp_path)
    return specs


@pytest.mark.parametrize("path", [".config/specs", "./.config/specs/", ".config/specs/nested/../../specs"])
def test_the_tree_of_a_revision(repo: Path, path: str) -> None:
    then, now = load_git("v1", [path], "h"), load_files([path], "h")
    assert {str(key) for key in then.documents} == {"Host/a", "Host/b"}
    assert {str(key) for key in now.documents} == {"Host/a", "Host/c"}
    assert then.complete
    assert str(then.documents[Key("Host", "a")].spec.domain_type) == "kvm"


def test_names_are_those_of_the_work_tree(repo: Path) -> None:
    for path in (".config/specs", str(repo)):
        assert load_git("HEAD", [path], "h").documents[Key("Host", "b")].position.file == f"{path}/nested/b.yml"


def test_one_file_and_a_folder_that_is_gone_by_now(repo: Path) -> None:
    assert set(load_git("v1", [".config/specs/a.yaml"], "h").documents) == {Key("Host", "a")}
    (repo / "nested").rmdir()
    assert set(load_git("v1", [".config/specs/nested"], "h").documents) == {Key("Host", "b")}


@pytest.mark.parametrize("revision", ["nope", "--output=x", "-h", "v1;ls", "", "v1 v1", "v1:specs"])
def test_what_is_no_revision(repo: Path, revision: str) -> None:
    with pytest.raises(UsageError):
        load_git(revision, [".config/specs"], "h")


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(CellError, match="not a git repository"):
        load_git("HEAD", [str(tmp_path)], "h")
