"""The pull unit: a revision counts only as a whole, and only when it is valid."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.examples.conftest import INVALID, VALID, Repository
from tests.process import run

HERE = Path(__file__).resolve().parents[2] / "examples" / "gitops" / "git-sync"


class Sync:
    """The script with a root of its own."""

    def __init__(self, repository: Repository, root: Path) -> None:
        self.root = root
        self.current = root / "current"
        self.env = repository.env | {"CELL_REPOSITORY": str(repository.origin), "CELL_ROOT": str(root)}

    def __call__(self, code: int = 0, **env: str) -> str:
        return run([HERE / "cell-git-sync"], env=self.env | env, code=code).stderr

    def revisions(self) -> set[str]:
        return {p.name for p in (self.root / "revisions").iterdir()}


@pytest.fixture
def sync(repository: Repository, tmp_path: Path) -> Sync:
    return Sync(repository, tmp_path / "sync")


def test_a_revision_comes_into_force(repository: Repository, sync: Sync) -> None:
    first = repository.git("rev-parse", "HEAD")
    assert f"revision {first} is in force" in sync()
    assert (sync.current / "br-a.yaml").read_text() == VALID

    second = repository.commit({"specs/br-b.yaml": VALID.replace("br-a", "br-b")})
    sync()
    assert os.readlink(sync.current) == f"revisions/{second}/specs"
    assert sorted(p.name for p in sync.current.iterdir()) == ["br-a.yaml", "br-b.yaml"]


def test_nothing_new_is_nothing_done(sync: Sync) -> None:
    sync()
    before = os.lstat(sync.current)
    assert sync() == ""
    after = os.lstat(sync.current)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # reading it moves its atime


def test_an_invalid_revision_is_refused(repository: Repository, sync: Sync) -> None:
    first = repository.git("rev-parse", "HEAD")
    sync()
    bad = repository.commit({"specs/br-a.yaml": INVALID})
    assert f"revision {bad} is refused; revisions/{first}/specs stays in force" in sync(code=4)
    assert (sync.current / "br-a.yaml").read_text() == VALID
    repository.commit({"specs/br-a.yaml": VALID + "---\n"})
    sync()
    assert os.readlink(sync.current).startswith("revisions/")
    assert bad not in os.readlink(sync.current)


def test_an_unreachable_repository_changes_nothing(sync: Sync) -> None:
    sync()
    before = os.readlink(sync.current)
    sync(code=128, CELL_REPOSITORY="/nowhere.git")
    assert os.readlink(sync.current) == before


def test_old_revisions_go_and_a_killed_run_leaves_nothing(repository: Repository, sync: Sync) -> None:
    for number in range(5):
        newest = repository.commit({"specs/br-n.yaml": VALID.replace("br-a", f"br-{number}")})
        sync()
    (sync.root / ".new.killed").mkdir()
    assert len(sync.revisions()) == 3
    assert newest in sync.revisions()
    sync()
    assert not list(sync.root.glob(".new.*"))


def test_an_unsigned_commit_is_refused_when_signatures_are_asked_for(repository: Repository, sync: Sync) -> None:
    sync(code=1, CELL_VERIFY="1")
    assert not sync.current.is_symlink()


def test_a_missing_setting_is_named(sync: Sync) -> None:
    del sync.env["CELL_REPOSITORY"]
    assert "CELL_REPOSITORY" in sync(code=1)


def test_the_environment_file_names_settings_that_the_script_reads() -> None:
    script = (HERE / "cell-git-sync").read_text()
    names = [line.split("=")[0] for line in (HERE / "git-sync.env").read_text().splitlines() if "=" in line]
    assert names
    assert all(f"${{{name}:" in script for name in names)


def test_units(tmp_path: Path) -> None:
    """systemd itself reads them: an unknown directive is a warning there, and a failure here."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed here")
    for unit in ("cell-git-sync.service", "cell-git-sync.timer"):
        text = (HERE / unit).read_text().replace("/usr/local/bin/cell-git-sync", str(HERE / "cell-git-sync"))
        (tmp_path / unit).write_text(text)
    units = [tmp_path / "cell-git-sync.service", tmp_path / "cell-git-sync.timer"]
    said = run(["systemd-analyze", "verify", "--man=no", *units])
    assert "cell-git-sync" not in said.stderr
