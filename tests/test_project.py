"""What the project says about itself is true: README, changelog, layout, packages, and what is in the wheel."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

from cell_reconciler.kinds import KINDS
from tests.examples.test_scenarios import NAMES as SCENARIOS
from tests.installed import Installed
from tests.process import run

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cell_reconciler"
MODULES = sorted(PACKAGE.rglob("*.py"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.M))


def shell_lines(page: Path) -> list[str]:
    """The lines of the ```sh blocks of a page."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


def test_every_make_target_is_listed_by_help() -> None:
    wanted = {"help", "setup", "run", "test", "check", "lint", "bench", "schemas", "lab", "docs", "guests"}
    assert targets() == wanted
    said = run(["make", "--no-print-directory"], cwd=ROOT).stdout
    assert re.findall(r"^  make (\w+) +\S", said, flags=re.M) == [
        t for t in re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M) if t in wanted
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_commands_in_pages_exist(page: Path) -> None:
    used = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), flags=re.M))
    assert used <= targets()


def cellctl_commands() -> list[tuple[str, list[str]]]:
    """Every ``cellctl …`` of the pages' shell blocks, as the words of one simple command."""
    found = []
    for page in PAGES:
        for line in shell_lines(page):
            for part in re.split(r"\s#\s|&&|\||;", line):
                match = re.match(r"(?:\S*/)?cellctl(\s.*|$)", part.strip())
                if match:
                    found.append((str(page.relative_to(ROOT)), match[1].split()))
    return found


@pytest.mark.parametrize(("page", "words"), cellctl_commands(), ids=lambda v: " ".join(v) if isinstance(v, list) else v)
def test_cellctl_commands_in_pages_parse(page: str, words: list[str]) -> None:
    """The command exists and takes these options; nothing is run."""
    from cell_reconciler.cli.main import command_parser

    words = [w for w in words if not w.startswith(">")]
    before = words.index("--") if "--" in words else len(words)  # what follows is run in a lab
    parser, _ = command_parser(words[0])
    parser.parse_args(words[1:before])


def test_the_readme_begins_with_a_spec_a_diff_and_an_apply() -> None:
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:48])
    assert screen.index("apiVersion: cell/v1") < screen.index("$ cellctl diff") < screen.index("$ cellctl apply")


def test_the_readmes_spec_is_valid(installed: Installed, tmp_path: Path) -> None:
    (spec,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.M | re.S)
    context = "apiVersion: cell/v1\nkind: {}\nmetadata: {{name: {}}}\nspec: {}\n"
    (tmp_path / "web.yaml").write_text(spec)
    (tmp_path / "pool.yaml").write_text(context.format("StoragePool", "local", "{directory: {path: /srv/cell}}"))
    (tmp_path / "bond.yaml").write_text(context.format("Bond", "bond-VM", "{members: [ens1f0]}"))
    (tmp_path / "bridge.yaml").write_text(context.format("Bridge", "br-VM", "{uplink: bond-VM}"))
    run(["cellctl", "validate", "-f", tmp_path], env=installed.env)


def test_links_of_pages_outside_the_site_lead_somewhere() -> None:
    """mkdocs checks those inside ``docs/``."""
    for page in PAGES[:2]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_changelog_tells_of_this_version() -> None:
    from cell_reconciler import __version__

    assert __version__ == VERSION
    assert re.search(rf"^## \[{re.escape(VERSION)}\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)


def reasons() -> set[str]:
    """CamelCase words in the code that decides and reports: reasons of refusals, conditions and events.

    Names of kinds, classes, exports and other programs are no reasons; what spec files list are values of fields.
    """
    words, names = set(), {*KINDS, "Ready", "Normal", "Warning", "NetworkManager"}
    for part in ("kinds", "planning", "status", "converge", "daemon"):
        for module in (PACKAGE / part).rglob("*.py"):
            fields = module.name == "spec.py" or module.parent.name == "spec"
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.ClassDef):
                    names.add(node.name)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and not fields:
                    words |= set(re.findall(r"^(?:[A-Z][a-z]+)+$", node.value))
    return words - (names - {"Fighting", "Suspended"})


def test_operations_tells_what_to_do_for_every_reason() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert {"NeedsPermission", "Foreign", "Fighting", "MemberNoCarrier"} <= reasons()
    assert {r for r in reasons() if f"`{r}`" not in page} == set()


def test_files_are_small_and_packages_say_what_they_are() -> None:
    for module in MODULES:
        text = module.read_text()
        assert text.count("\n") <= 400, f"{module} has over 400 lines"
        assert ast.get_docstring(ast.parse(text)), f"{module} has no docstring"


def test_no_file_of_examples_is_without_a_test() -> None:
    """Scenarios are found by folder; everything else is named by a test."""
    tests = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__))
    tracked = [p for p in (ROOT / "examples").rglob("*") if p.is_file()]
    assert tracked
    for path in tracked:
        inside = path.relative_to(ROOT / "examples").parts
        if inside[0] == "scenarios":
            assert inside[1] in SCENARIOS or path.name == "README.md", path
        else:
            assert path.name in tests, f"no test names {path}"


def test_setup_installs_what_labs_need() -> None:
    from cell_reconciler.lab.needs import TOOLS

    lines = (ROOT / "scripts" / "packages.txt").read_text().splitlines()
    listed = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert all("#" in line for line in lines), "each package says why"
    essential = {"bash"}
    wanted = {package for tools in TOOLS.values() for package in tools.values() if "pip" not in package}
    assert wanted <= listed | essential


def test_scripts_are_executable_and_parse() -> None:
    scripts = [ROOT / ".ci" / "run", *(p for p in (ROOT / "scripts").iterdir() if p.suffix == "")]
    assert len(scripts) >= 3
    for script in scripts:
        assert script.stat().st_mode & 0o111, script
        run(["bash", "-n", script])


def test_the_wheel_has_the_schemas_and_the_scripts_of_the_lab(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    published = {f"cell_reconciler/_schemas/{p.name}" for p in (ROOT / "schemas").glob("*.json")}
    data = {str(p.relative_to(ROOT)) for p in PACKAGE.rglob("*.sh")} | {"cell_reconciler/py.typed"}
    assert published
    assert published | data <= names
    assert not [n for n in names if n.startswith(("tests/", "scripts/"))]


def test_the_wheel_validates_with_the_core_dependencies_only(installed: Installed) -> None:
    listed = run([installed.bin / "python", "-m", "pip", "list", "--format=freeze"], env=installed.env).stdout.lower()
    for extra in ("libvirt", "lxml", "pyroute2", "watchdog", "structlog", "shtab"):
        assert extra not in listed
    said = run(["cellctl", "validate", "-f", ROOT / "specs"], env=installed.env, cwd=installed.bin)
    assert "error" not in said.stdout
    for words in (["explain", "VirtualMachine.spec.disks"], ["schema", "Bridge"], ["--help"]):
        assert run(["cellctl", *words], env=installed.env, cwd=installed.bin).stdout


def test_nothing_names_a_place_of_this_machine() -> None:
    """A clone lies anywhere: tracked files name no absolute path of the tree they were written in."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git work tree (a source archive)")
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and len(ROOT.parts) > 2:
            assert str(ROOT).encode() not in path.read_bytes(), name
