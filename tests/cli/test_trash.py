"""``cellctl trash`` on a pool in a directory: from a document that goes to the one that finds its data again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cell_reconciler.cli import exits
from tests.cli.test_commands import Site

VOLUME = """\
apiVersion: cell/v1
kind: Volume
metadata: {{name: root-01}}
spec: {{pool: local, size: 8MiB, reclaimPolicy: Trash, trashFor: {time}}}
"""


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capsys)


def thrown_away(site: Site, time: str = "1h") -> Path:
    """Apply a volume, put something into it, take its document away and apply again."""
    file = site.pool / "root-01.raw"
    site.write("volume.yaml", VOLUME.format(time=time))
    assert site("apply") == exits.OK
    with file.open("r+b") as disk:
        disk.write(b"precious")
    (site.specs / "volume.yaml").unlink()
    assert site("apply", "--prune", "--yes") == exits.OK
    assert not file.exists()
    return file


def test_there_and_back_again(site: Site) -> None:
    file = thrown_away(site)
    assert site("trash", "list") == exits.OK
    header, row = site.out.splitlines()
    assert header.split()[:4] == ["POOL", "VOLUME", "ID", "SIZE"]
    assert row.split()[:4] == ["local", "root-01", "root-01.1", "8MiB"]
    assert row.endswith("Volume/root-01 of cell-01")

    site.write("volume.yaml", VOLUME.format(time="1h"))
    assert site("apply") == exits.REFUSED
    assert "InTrash: volume root-01 lies in the trash" in site.out
    assert "cellctl trash restore root-01 --id root-01.1" in site.out
    assert not file.exists(), "nothing empty in its place"

    assert site("trash", "restore", "root-01") == exits.OK
    assert "root-01 is back in local, and is kept; declare it as it was" in site.out
    assert file.read_bytes().startswith(b"precious")
    assert site("apply") == exits.OK
    assert site("diff", "--exit-code") == exits.OK
    assert file.read_bytes().startswith(b"precious")
    assert site("events", specs=False) == exits.OK
    assert "Restored" in site.out


def test_put_aside_for_a_new_one(site: Site) -> None:
    file = thrown_away(site)
    site.write("volume.yaml", VOLUME.format(time="1h"))
    assert site("trash", "restore", "root-01", "--as", "root-01-old") == exits.OK
    assert "cell/adopt" in site.out
    assert site("apply") == exits.OK
    assert file.read_bytes() == bytes(8 * 2**20)
    assert (site.pool / "root-01-old.raw").read_bytes().startswith(b"precious")
    assert site("trash", "restore", "root-01") == exits.REFUSED
    assert "no root-01 lies in the trash" in site.err


def test_what_is_restored_is_not_pruned_again(site: Site) -> None:
    file = thrown_away(site)
    assert site("trash", "restore", "root-01") == exits.OK
    assert site("apply", "--prune", "--yes") == exits.OK
    assert file.read_bytes().startswith(b"precious")


def test_several_of_a_name(site: Site) -> None:
    thrown_away(site)
    assert site("trash", "restore", "root-01", "--as", "one") == exits.OK
    site.write("volume.yaml", VOLUME.format(time="1h"))
    assert site("apply") == exits.OK
    (site.specs / "volume.yaml").unlink()
    assert site("apply", "--prune", "--yes") == exits.OK
    (site.pool / ".cell/trash/root-01.7.raw").touch()  # somebody put it there
    assert site("trash", "restore", "root-01") == exits.REFUSED
    assert "2 volumes root-01 lie in the trash" in site.err
    assert "--id root-01.7" in site.err
    assert site("trash", "purge", "--yes", "--id", "root-01.7") == exits.REFUSED
    assert "not ours" in site.err
    assert site("trash", "restore", "root-01", "--id", "root-01.1") == exits.OK


def test_purged_after_its_time_and_a_yes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    thrown_away(site)
    assert site("trash", "purge", "--yes") == exits.OK
    assert "0 destroyed" in site.out
    assert site("trash", "purge", "root-01", "--yes") == exits.REFUSED
    assert "stays in the trash" in site.err
    site("trash", "restore", "root-01", "--as", "other")
    thrown_away(site, "0s")
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115  # closed by the end of the process
    assert site("trash", "purge") == exits.REFUSED
    assert "not confirmed; nothing was destroyed" in site.err
    (entry,) = site.json("trash", "list")["trash"]  # type: ignore[misc]
    assert (entry["volume"], entry["expired"]) == ("root-01", True)
    assert site("trash", "purge", "--yes") == exits.OK
    assert "1 destroyed" in site.out
    assert site("trash", "list") == exits.OK
    assert (site.out, site.err) == ("", "The trash is empty.\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["restore"], "which volume?"),
        (["restore", "a", "--as", "../b"], "cannot be the name"),
        (["restore", "a", "--pool", "none"], "StoragePool/none is not declared"),
        (["list", "--as", "b"], "--as has no meaning with list"),
        (["empty"], "invalid choice"),
    ],
)
def test_usage(site: Site, argv: list[str], said: str) -> None:
    assert site("trash", *argv) == exits.USAGE
    assert said in site.err


def test_a_pool_that_does_not_answer(site: Site) -> None:
    site.pool.touch()
    assert site("trash", "list") == exits.UNREACHABLE
    assert "StoragePool/local did not answer" in site.err
    assert site("trash", "restore", "root-01") == exits.UNREACHABLE
