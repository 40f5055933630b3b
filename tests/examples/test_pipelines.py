"""The steps of the GitHub and GitLab pipelines, run as the forge runs them: same shell, same variables, real git.

What is not run: third-party actions (``uses:``), and GitHub's comment, which needs its API (checked for syntax).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest
import yaml

from tests.examples.conftest import INVALID, Repository
from tests.installed import Installed
from tests.process import run

GITOPS = Path(__file__).resolve().parents[2] / "examples" / "gitops"
GITHUB = yaml.safe_load((GITOPS / "github" / "workflow.yml").read_text())
GITLAB = yaml.safe_load((GITOPS / "gitlab" / ".gitlab-ci.yml").read_text())
NEEDS_THE_FORGE = {"Comment"}


def github_step(repository: Repository, installed: Installed, name: str, code: int = 0) -> str:
    """Run one step in ``bash -e``, GitHub's default; returns its standard output."""
    (step,) = [s for s in GITHUB["jobs"]["specs"]["steps"] if s.get("name") == name]
    values = {"github.base_ref": "main"}
    env = dict(repository.env) | GITHUB["env"] | {"CELL_RECONCILER": str(installed.wheel)}
    for key, text in step.get("env", {}).items():
        env[key] = re.sub(r"\$\{\{ (\S+) \}\}", lambda m: values[m[1]], text)
    for file in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        env[file] = str(repository.place.parent / file)
    script = repository.place.parent / "step.sh"
    script.write_text(step["run"])
    return run(["bash", "-e", script], cwd=repository.place, env=env, code=code).stdout


def written(repository: Repository, file: str) -> str:
    return (repository.place.parent / file).read_text()


def test_github_of_a_good_proposal(proposal: Repository, installed: Installed) -> None:
    ran = []
    for step in GITHUB["jobs"]["specs"]["steps"]:
        if "run" in step and step["name"] not in NEEDS_THE_FORGE:
            github_step(proposal, installed, step["name"])
            ran.append(step["name"])
    assert ran == ["Install", "Validate", "SARIF", "Diff"]
    assert '"version": "2.1.0"' in (proposal.place / "cell.sarif").read_text()
    comment = (proposal.place / "cell-diff.md").read_text()
    assert "Bridge/br-b" in comment
    assert "Bridge/br-a" not in comment
    assert written(proposal, "GITHUB_STEP_SUMMARY") == comment
    assert written(proposal, "GITHUB_OUTPUT") == "changes=true\n"


def test_github_of_a_proposal_that_changes_no_spec(proposal: Repository, installed: Installed) -> None:
    proposal.git("checkout", "--quiet", "-B", "proposal", "origin/main")
    proposal.commit({"notes.md": "hello"}, "proposal-2")
    github_step(proposal, installed, "Diff")
    assert written(proposal, "GITHUB_OUTPUT") == "changes=false\n"


def test_github_of_a_bad_proposal(proposal: Repository, installed: Installed) -> None:
    proposal.commit({"specs/br-b.yaml": INVALID.replace("br-a", "br-b")}, "proposal")
    said = github_step(proposal, installed, "Validate", code=4)
    assert said.startswith("::error file=specs/br-b.yaml,line=6,")
    github_step(proposal, installed, "SARIF")
    assert "specs/br-b.yaml" in (proposal.place / "cell.sarif").read_text()
    github_step(proposal, installed, "Diff", code=4)


def test_steps_that_need_the_forge_are_valid_shell(tmp_path: Path) -> None:
    for step in GITHUB["jobs"]["specs"]["steps"]:
        if step.get("name") in NEEDS_THE_FORGE:
            (tmp_path / "step.sh").write_text(step["run"])
            run(["bash", "-n", tmp_path / "step.sh"])


def gitlab_job(
    repository: Repository, installed: Installed, name: str, env: dict[str, str] | None = None, code: int = 0
) -> None:
    """Run ``before_script`` and ``script`` of a job as GitLab's runner does: one shell, ``set -eo pipefail``."""
    job: dict[str, Any] = GITLAB["default"] | GITLAB[name]
    lines = ["set -eo pipefail", *job["before_script"], *job["script"]]
    script = repository.place.parent / "job.sh"
    script.write_text("\n".join(lines))
    base = {"CELL_RECONCILER": str(installed.wheel)}
    base["CI_MERGE_REQUEST_DIFF_BASE_SHA"] = repository.git("merge-base", "origin/main", "HEAD")
    run(["bash", script], cwd=repository.place, env=repository.env | base | (env or {}), code=code)


def test_gitlab_of_a_good_proposal(proposal: Repository, installed: Installed) -> None:
    gitlab_job(proposal, installed, "validate")
    report = ElementTree.parse(proposal.place / "cell-junit.xml").getroot()
    assert not list(report.iter("failure"))
    assert list(report.iter("testcase"))
    gitlab_job(proposal, installed, "diff")
    assert "Bridge/br-b" in (proposal.place / "cell-diff.md").read_text()


def test_gitlab_of_a_bad_proposal(proposal: Repository, installed: Installed) -> None:
    proposal.commit({"specs/br-b.yaml": INVALID.replace("br-a", "br-b")}, "proposal")
    gitlab_job(proposal, installed, "validate", code=4)
    report = ElementTree.parse(proposal.place / "cell-junit.xml").getroot()
    assert len(list(report.iter("failure"))) == 1
    gitlab_job(proposal, installed, "diff", code=4)


Posted = list[tuple[str, str, dict[str, list[str]]]]


@pytest.fixture
def forge() -> Iterator[tuple[str, Posted]]:
    """An HTTP server in the place of GitLab's API: path, token and form of what was posted."""
    posted: Posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            posted.append((self.path, self.headers["PRIVATE-TOKEN"], parse_qs(body)))
            self.send_response(201 if self.headers["PRIVATE-TOKEN"] == "good" else 401)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api/v4", posted
    server.shutdown()
    server.server_close()


def test_gitlab_note(repository: Repository, installed: Installed, forge: tuple[str, Posted]) -> None:
    url, posted = forge
    (repository.place / "cell-diff.md").write_text("+ `Bridge/br-b` & more\n")
    env = {"CI_API_V4_URL": url, "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_IID": "3", "no_proxy": "127.0.0.1"}
    gitlab_job(repository, installed, "note", env | {"CELL_NOTE_TOKEN": "good"})
    gitlab_job(repository, installed, "note", env | {"CELL_NOTE_TOKEN": "wrong"}, code=22)
    path = "/api/v4/projects/7/merge_requests/3/notes"
    body = {"body": ["+ `Bridge/br-b` & more\n"]}
    assert posted == [(path, "good", body), (path, "wrong", body)]
