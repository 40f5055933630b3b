"""A git repository as users of the GitOps kit have it: specs on ``main``, and a branch that changes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installed import Installed
from tests.process import run

VALID = """\
apiVersion: cell/v1
kind: Bridge
metadata:
  name: br-a
spec: {}
"""
INVALID = VALID.replace("spec: {}", "spec:\n  mtu: many")


class Repository:
    """A git work tree with an origin; every method is one or two git commands."""

    def __init__(self, place: Path, env: dict[str, str]) -> None:
        self.place, self.origin = place / "work", place / "origin.git"
        identity = {"NAME": "t", "EMAIL": "t@example.com"}
        self.env = env | {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in identity.items()}
        self.env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": str(place)}
        self.place.mkdir()
        run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.origin], env=self.env)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", str(self.origin))

    def git(self, *argv: str) -> str:
        return run(["git", *argv], cwd=self.place, env=self.env).stdout.strip()

    def commit(self, files: dict[str, str], branch: str = "main") -> str:
        """Write files, commit them, push the branch; returns the revision."""
        for name, text in files.items():
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        self.git("push", "--quiet", "origin", f"HEAD:{branch}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, installed: Installed) -> Repository:
    """One commit on main: a valid bridge."""
    made = Repository(tmp_path, installed.env)
    made.commit({"specs/br-a.yaml": VALID})
    return made


@pytest.fixture
def proposal(repository: Repository) -> Repository:
    """A branch that adds a bridge, checked out as a pull request's pipeline has it."""
    repository.git("checkout", "--quiet", "-b", "proposal")
    repository.commit({"specs/br-b.yaml": VALID.replace("br-a", "br-b")}, "proposal")
    return repository
