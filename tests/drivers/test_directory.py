"""What is special about directories: links, sparse files, marks bound to inodes, servers that are dead."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cell_reconciler.drivers import Writes
from cell_reconciler.drivers.directory import DirectoryDoor, open_pool
from cell_reconciler.drivers.pool_deadline import Deadline
from cell_reconciler.errors import Refused, StepFailed, Unreachable
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget

MARK = Mark(Key("Volume", "demo"), "0" * 16)
POOL = Mark(Key("StoragePool", "local"), "0" * 16)


def door(path: Path) -> DirectoryDoor:
    return open_pool(PoolTarget(name="local", backend="directory", path=str(path)), Writes())


def test_a_pool_that_we_made_goes_when_it_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "images" / "cell"
    pool = door(path)
    pool.create_pool(POOL)
    assert path.stat().st_mode & 0o7777 == 0o711
    facts, _ = pool.observe()
    assert facts.mark == POOL.to_text()
    assert 0 < (facts.available or 0) <= (facts.capacity or 0)
    pool.create("demo", 2**20, MARK)
    with pytest.raises(Refused, match=r"demo\.raw"):
        pool.delete_pool()
    pool.trash("demo")
    with pytest.raises(Refused, match="trash"):
        pool.delete_pool()
    assert pool.observe()[0].mark == POOL.to_text()
    for left in (path / ".cell/trash").iterdir():
        left.unlink()
    pool.delete_pool()
    pool.delete_pool()
    assert not path.exists()
    assert path.parent.exists()


def test_a_directory_that_was_there_is_used_and_never_removed(tmp_path: Path) -> None:
    pool = door(tmp_path)
    pool.create_pool(POOL)
    pool.create("demo", 2**20, MARK)
    pool.remove("demo")
    assert pool.observe()[0].mark is None
    with pytest.raises(Refused, match="not made by us"):
        pool.delete_pool()
    assert tmp_path.exists()


def test_a_copy_of_the_pool_is_not_ours(tmp_path: Path) -> None:
    door(tmp_path / "a").create_pool(POOL)
    door(tmp_path / "a").create("demo", 2**20, MARK)
    subprocess.run(["cp", "--archive", tmp_path / "a", tmp_path / "b"], check=True)
    facts, images = door(tmp_path / "b").observe()
    assert (facts.mark, [image.mark for image in images]) == (None, [None])


def test_a_volume_takes_no_space_until_it_is_written(tmp_path: Path) -> None:
    door(tmp_path).create("demo", 2**40, MARK)
    assert (tmp_path / "demo.raw").stat().st_blocks == 0
    assert (tmp_path / "demo.raw").stat().st_mode & 0o7777 == 0o600


def test_a_volume_named_pool(tmp_path: Path) -> None:
    pool = door(tmp_path / "p")
    pool.create_pool(POOL)
    for name in ("pool", "lock", "trash", "demo.json"):
        pool.create(name, 2**20, Mark(Key("Volume", name), "0" * 16))
    facts, images = pool.observe()
    assert facts.mark == POOL.to_text()
    assert all(image.mark == f"cell/v1;Volume/{image.name};{'0' * 16}" for image in images)


def test_links_and_other_things_are_no_volumes(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    path = tmp_path / "pool"
    path.mkdir()
    (path / "demo.raw").symlink_to(outside)
    (path / "dangling.raw").symlink_to(path / "none")
    (path / "folder.raw").mkdir()
    os.mkfifo(path / "fifo.raw")
    (path / "notes.txt").touch()
    (path / os.fsdecode(b"\xff.raw")).touch()
    pool = door(path)
    assert pool.observe()[1] == ()
    for attempt in (lambda: pool.create("demo", 2**20, MARK), lambda: pool.grow("demo", 2**20)):
        with pytest.raises((Refused, StepFailed)):
            attempt()
    pool.remove("demo")
    assert (path / "demo.raw").is_symlink()
    assert outside.read_bytes() == b"precious"


def test_a_link_in_the_place_of_our_records_leads_nowhere(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "pool", tmp_path / "elsewhere"
    path.mkdir()
    elsewhere.mkdir()
    (path / ".cell").symlink_to(elsewhere)
    with pytest.raises(StepFailed):
        door(path).create("demo", 2**20, MARK)
    assert list(elsewhere.iterdir()) == []


def test_garbage_in_the_records_is_no_mark(tmp_path: Path) -> None:
    pool = door(tmp_path)
    pool.create("demo", 2**20, MARK)
    for garbage in (b"", b"{", b"\xff\xfe", b"[]", b'{"mark": 1, "bind": 2}', b'{"mark": "x", "bind": "y"}'):
        (tmp_path / ".cell/demo.json").write_bytes(garbage)
        image = pool.image("demo")
        assert image is not None
        assert image.mark is None


def test_what_stands_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match="Not a directory"):
        door(tmp_path / "file").observe()
    with pytest.raises(StepFailed, match="No such file"):
        door(tmp_path / "none").create("demo", 2**20, MARK)


def test_a_call_that_hangs_is_given_up_and_the_next_one_not_even_tried(tmp_path: Path) -> None:
    """A FIFO without a writer hangs in open(2) as a dead NFS server does."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    deadline = Deadline("directory /mnt")
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
        deadline.call(lambda: fifo.read_bytes(), 0.2)
    with pytest.raises(Unreachable, match="has not come back"):
        deadline.call(lambda: 1, 5)
    assert time.monotonic() - started < 5
    with fifo.open("wb"):
        pass
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            assert deadline.call(lambda: 1, 5) == 1
            break
        except Unreachable:
            threading.Event().wait(0.01)
    else:
        raise AssertionError("it never came back")
