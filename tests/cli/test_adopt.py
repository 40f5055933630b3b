"""Adoption by marks alone, on a real storage pool in a directory. Of links see ``tests/live/test_brownfield.py``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cell_reconciler.cli import exits
from tests.cli.test_commands import VOLUME, Site

ANNOTATED = VOLUME.replace("name: {name}", 'name: {name}, annotations: {{cell/adopt: "true"}}')
MACHINE = "apiVersion: cell/v1\nkind: VirtualMachine\nmetadata: {name: a}\nspec: {memory: {guest: 1GiB}}\n"


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """The pool is ours; the data of root-01 is somebody else's."""
    found = Site(tmp_path, capsys)
    (found.specs / "volume.yaml").unlink()
    assert found("apply") == exits.OK
    with (found.pool / "root-01.raw").open("wb") as file:
        file.truncate(8 << 20)
    found.write("volume.yaml", VOLUME.format(name="root-01", size="8MiB"))
    return found


def test_named_or_annotated(site: Site) -> None:
    assert site("diff") == exits.REFUSED, "foreign"
    assert site("adopt") == exits.USAGE, "no document is annotated"
    assert "name what is to be adopted" in site.err
    assert site("adopt", "volume/root-01") == exits.OK
    assert "1 adopted" in site.out
    assert site("diff", "--exit-code") == exits.OK, "without the annotation"
    assert site("apply") == exits.OK
    assert "0 writing calls" in site.out
    assert site("adopt", "volume/root-01") == exits.OK
    assert "0 adopted, 1 ours already" in site.out


def test_by_its_annotation(site: Site) -> None:
    site.write("volume.yaml", ANNOTATED.format(name="root-01", size="8MiB"))
    answer = site.json("adopt")
    assert (answer["adopted"], answer["refused"]) == (["Volume/root-01"], [])
    site.write("volume.yaml", VOLUME.format(name="root-01", size="8MiB"))
    assert site("diff", "--exit-code") == exits.OK


def test_what_differs_is_left_alone_and_told(site: Site) -> None:
    site.write("volume.yaml", ANNOTATED.format(name="root-01", size="16MiB"))
    assert site("adopt") == exits.REFUSED
    assert "Differs: not adopted as it is: spec.size differs" in site.out
    assert "let 'cellctl apply' do it: grow volume" in site.out
    assert "0 adopted, 1 refused" in site.out
    assert (site.root / "pool" / "root-01.raw").stat().st_size == 8 << 20
    assert site("get", "--failed", specs=False) == exits.OK
    assert "Volume" in site.out


def test_what_is_not_there_or_not_declared(site: Site) -> None:
    site.write("other.yaml", VOLUME.format(name="none", size="8MiB"))
    assert site("adopt", "Volume/none") == exits.REFUSED
    assert "Missing" in site.out
    assert not (site.pool / "none.raw").exists()
    assert site("adopt", "Volume/nowhere") == exits.USAGE


def test_a_bad_file_and_a_silent_source(site: Site) -> None:
    site.write("bad.yaml", VOLUME.format(name="bad", size="8MB"))
    assert site("adopt", "Volume/root-01") == exits.INVALID
    assert "1 adopted" in site.out
    site.write("vm.yaml", MACHINE)
    site.without_libvirt()
    assert site("adopt", "vm/a") == exits.UNREACHABLE


def test_it_is_in_the_history(site: Site) -> None:
    assert site("adopt", "Volume/root-01") == exits.OK
    assert site("history", "--format", "json", specs=False) == exits.OK
    assert json.loads(site.out)["history"][-1]["by"].startswith("adopt")
