"""SIGKILL at every system call that changes the directory, one after the other; then the next run.

A child process does the work with an audit hook that kills it just before its n-th change. No call is replaced.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.drivers import Writes, directory_files
from cell_reconciler.drivers.directory import DirectoryDoor, open_pool
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import Clone, Import, PoolTarget

MARK = Mark(Key("Volume", "demo"), "0" * 16)
POOL = Mark(Key("StoragePool", "local"), "0" * 16)
CHANGES = ("os.mkdir", "os.rmdir", "os.rename", "os.link", "os.remove", "os.truncate", "open")
# This very file stands for an image; a clone is one of it
ORIGINS = {
    "import": Import(path=__file__, sha256=hashlib.sha256(Path(__file__).read_bytes()).hexdigest()),
    "clone": Clone(image="golden"),
}


def door(path: str | Path) -> DirectoryDoor:
    return open_pool(PoolTarget(name="local", backend="directory", path=str(path)), Writes())


def act(pool: DirectoryDoor, what: str) -> None:
    if what == "create":
        pool.create("demo", 2**20, MARK, {"reclaimPolicy": "Delete"})
    elif what in ORIGINS:
        pool.create("demo", 2**20, MARK, {"reclaimPolicy": "Delete"}, origin=ORIGINS[what])
    elif what == "golden":
        pool.create("golden", 2**20, Mark(Key("Volume", "golden"), "0" * 16), origin=ORIGINS["import"])
    elif what == "create_pool":
        pool.create_pool(POOL)
    elif what == "delete_pool":
        pool.delete_pool()
    elif what in ("restore", "purge"):
        for entry in pool.observe()[0].trash:
            pool.restore(entry.id, "demo", {"reclaimPolicy": "Retain"}) if what == "restore" else pool.purge(entry.id)
    elif what == "thrown away":
        act(pool, "create")
        act(pool, "trash")
    elif what == "set_mark":
        pool.set_mark("demo", MARK, {"reclaimPolicy": "Retain"})
    else:
        getattr(pool, what)("demo")


def killed(path: Path, what: str, after: int) -> bool:
    """Run ``what`` in a child that dies before its change number ``after``; False when it came to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.addaudithook(_die(after))
            act(door(path), what)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def _die(after: int) -> Callable[[str, tuple[Any, ...]], None]:
    left = after

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in CHANGES or (event == "open" and not args[2] & os.O_CREAT):
            return
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def content(path: Path) -> set[str]:
    return {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}


def crashes(tmp_path: Path, what: str, prepare: str = "") -> list[Path]:
    """One directory for each point at which ``what`` was killed."""
    left = []
    for after in range(100):
        path = tmp_path / f"{what}-{after}" / "pool"
        path.parent.mkdir()
        if what != "create_pool":
            door(path).create_pool(POOL)
        if prepare:
            act(door(path), prepare)
        if not killed(path, what, after):
            assert after > 1, "it was killed nowhere"
            return left
        left.append(path)
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("flag", [1, 1 << 30], ids=["in one step", "as on NFS"])
def test_create(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: int) -> None:
    monkeypatch.setattr(directory_files, "_NOREPLACE", flag)  # the kernel answers EINVAL to the second one
    for path in crashes(tmp_path, "create"):
        pool = door(path)
        image = pool.image("demo")
        assert image is None or (image.mark, image.size) == (MARK.to_text(), 2**20), "visible before it was finished"
        if flag == 1 and image is not None:
            assert (path / "demo.raw").stat().st_nlink == 1, "a finished volume needs no later step"
        act(pool, "create")
        image = pool.image("demo")
        assert image is not None
        assert (image.mark, image.size, image.detail) == (MARK.to_text(), 2**20, {"reclaimPolicy": "Delete"})
        assert content(path) == {"demo.raw", ".cell/demo.json", ".cell/.pool.json", ".cell/lock"}
        assert (path / "demo.raw").stat().st_nlink == 1


@pytest.mark.parametrize("what", ["import", "clone"])
def test_create_with_data(tmp_path: Path, what: str) -> None:
    data = Path(__file__).read_bytes()
    for path in crashes(tmp_path, what, prepare="golden"):
        pool = door(path)
        image = pool.image("demo")
        assert image is None or (image.mark, image.size) == (MARK.to_text(), 2**20), "visible before it was finished"
        if image is not None:
            assert (path / "demo.raw").read_bytes().rstrip(b"\0") == data
        act(pool, what)
        image = pool.image("demo")
        assert image is not None
        assert (image.mark, image.size, image.detail) == (MARK.to_text(), 2**20, {"reclaimPolicy": "Delete"})
        assert (path / "demo.raw").read_bytes().rstrip(b"\0") == data
        assert {entry for entry in content(path) if "demo" in entry} == {"demo.raw", ".cell/demo.json"}


@pytest.mark.parametrize("what", ["remove", "trash"])
def test_remove_and_trash(tmp_path: Path, what: str) -> None:
    for path in crashes(tmp_path, what, prepare="create"):
        pool = door(path)
        image = pool.image("demo")
        assert image is None or image.mark == MARK.to_text()
        act(pool, what)
        assert pool.image("demo") is None
        assert len(list((path / ".cell").glob("trash/*.raw"))) == (1 if what == "trash" else 0)
        act(pool, "create")
        image = pool.image("demo")
        assert image is not None
        assert image.mark == MARK.to_text()


def test_trash_and_the_way_back(tmp_path: Path) -> None:
    """Wherever it is killed, the data are in one of both places, and known to be ours; the next run ends it."""
    for path in crashes(tmp_path, "trash", prepare="create"):
        pool = door(path)
        entries, image = pool.observe()[0].trash, pool.image("demo")
        assert (len(entries), image is None) in ((0, False), (1, True))
        assert all(entry.mark == MARK.to_text() and entry.until for entry in entries)
    for path in crashes(tmp_path, "restore", prepare="thrown away"):
        pool = door(path)
        entries, image = pool.observe()[0].trash, pool.image("demo")
        assert (len(entries), image is None) in ((0, False), (1, True))
        assert image is None or (image.mark, image.detail) == (MARK.to_text(), {"reclaimPolicy": "Retain"})
        act(pool, "restore")
        image = pool.image("demo")
        assert image is not None
        assert (image.mark, image.detail) == (MARK.to_text(), {"reclaimPolicy": "Retain"})
        act(pool, "trash")
        assert len(pool.observe()[0].trash) == 1, "what was left there disturbs nobody"


def test_purge(tmp_path: Path) -> None:
    for path in crashes(tmp_path, "purge", prepare="thrown away"):
        pool = door(path)
        act(pool, "purge")
        assert pool.observe()[0].trash == ()
        act(pool, "delete_pool")
        assert not path.exists()


def test_set_mark(tmp_path: Path) -> None:
    for path in crashes(tmp_path, "set_mark", prepare="create"):
        pool = door(path)
        image = pool.image("demo")
        assert image is not None
        assert (image.mark, image.detail["reclaimPolicy"]) == (MARK.to_text(), "Delete"), "neither the old nor the new"
        act(pool, "set_mark")
        assert pool.observe()[1][0].detail["reclaimPolicy"] == "Retain"


def test_create_pool(tmp_path: Path) -> None:
    for path in crashes(tmp_path, "create_pool"):
        act(door(path), "create_pool")
        pool, images = door(path).observe()
        assert (pool.exists, images) == (True, ())
        assert pool.mark in (POOL.to_text(), None)  # None: killed before the mark, so it counts as one that was there


def test_delete_pool(tmp_path: Path) -> None:
    for path in crashes(tmp_path, "delete_pool"):
        if door(path).observe()[0].mark is not None:
            act(door(path), "delete_pool")
            assert not path.exists()
        elif path.exists():
            assert content(path) == set()  # killed after the mark went: an empty directory, and nobody's
