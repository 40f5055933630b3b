"""``validate``, ``schema`` and ``explain`` as processes: exit codes, formats, and what they do not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cell_reconciler.kinds import KINDS

GOOD = "apiVersion: cell/v1\nkind: Host\nmetadata: {name: a}\nspec: {}\n"
DOUBTFUL = GOOD + "---\n" + GOOD.replace("name: a", "name: b").replace("{}", "{hosts: [x], perHost: {y: {}}}")


def cellctl(*argv: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cell_reconciler.cli", *argv]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60, cwd=cwd)


def test_valid_specs_exit_0(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(GOOD)
    for argv in (["-f", "specs"], ["-f", "specs/a.yaml", "--host", "a"], []):
        done = cellctl("validate", *argv, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), "specs/ is the default"


def test_invalid_specs_exit_4_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.replace("{}", "{domainTyp: kvm}"))
    done = cellctl("validate", "-f", "a.yaml", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stdout.startswith("a.yaml:4:8: error [unknown-field] 'domainTyp' is not a field of spec; did you mean")


def test_warnings_count_with_strict_only() -> None:
    assert cellctl("validate", "-f", "-", stdin=DOUBTFUL).returncode == 0
    assert cellctl("validate", "-f", "-", "--strict", stdin=DOUBTFUL).returncode == 4


@pytest.mark.parametrize("what", ["empty", "missing"])
def test_no_specs_is_not_valid(tmp_path: Path, what: str) -> None:
    done = cellctl("validate", "-f", str(tmp_path / "none") if what == "missing" else str(tmp_path))
    assert done.returncode == 4
    assert "[no-specs]" in done.stdout


def test_json_has_every_finding() -> None:
    done = cellctl("validate", "-f", "-", "--format", "json", stdin="a: 1\na: 2\n")
    found = json.loads(done.stdout)
    assert {d["rule"] for d in found["diagnostics"]} == {"duplicate-key", "required"}
    assert not found["valid"]


DRIVERS = ["libvirt", "pyroute2", "rbd", "rados", "lxml", "watchdog", "structlog"]


@pytest.mark.parametrize("valid", [True, False])
def test_validate_loads_no_driver(valid: bool, root: Path) -> None:
    code = (
        "import sys\nfrom cell_reconciler.cli.main import main\n"
        f"code = main(['validate', '-f', '{'-' if not valid else root / 'specs'}'])\n"
        f"print(code, [m for m in {DRIVERS} if m in sys.modules], 'jsonschema' in sys.modules)"
    )
    bad = GOOD.replace("{}", "{x: 1}")
    done = subprocess.run([sys.executable, "-c", code], input=bad, capture_output=True, text=True, check=True)
    wanted = "0 [] False" if valid else "4 [] True"
    assert done.stdout.splitlines()[-1] == wanted, "JSON Schema is loaded only to word errors"


@pytest.mark.parametrize("name", KINDS)
def test_schema_prints_what_is_published(name: str, root: Path) -> None:
    done = cellctl("schema", name)
    assert (done.returncode, done.stdout) == (0, (root / "schemas" / f"{name.lower()}.json").read_text())


def test_schema_bundle(root: Path) -> None:
    published = (root / "schemas" / "cell.json").read_text()
    assert cellctl("schema").stdout == cellctl("schema", "--bundle").stdout == published
    assert cellctl("schema", "Host", "--bundle").returncode == 2


def test_explain_a_field() -> None:
    done = cellctl("explain", "Reconciler.spec.probes.tcp.port")
    assert done.returncode == 0
    assert "FIELD:    spec.probes.tcp.port <integer> required" in done.stdout
    assert cellctl("explain", "reconciler.probes[].tcp.port").stdout == done.stdout, "spec may be left out"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("Hots", "did you mean 'Host'?"),
        ("Reconciler.spec.mod", "did you mean 'mode'?"),
        ("Reconciler.mod", "did you mean 'mode'?"),
        ("Reconciler.spec.mode.x", "has no fields"),
    ],
)
def test_explain_suggests_the_nearest(path: str, hint: str) -> None:
    done = cellctl("explain", path)
    assert done.returncode == 2
    assert hint in done.stderr


@pytest.mark.parametrize("name", KINDS)
def test_explain_every_field_of_every_kind(name: str) -> None:
    from cell_reconciler.load.describe import Node, explain

    def walk(node: Node) -> None:
        for field in node.fields:
            found = explain(field.path)
            assert found.text
            walk(found)

    walk(explain(name))
    assert cellctl("explain", name, "--format", "json").returncode == 0
