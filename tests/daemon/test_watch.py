"""The file-watching torture list on real inotify: each change must wake the loop within a second."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cell_reconciler.daemon.places import identity, ignored, places
from cell_reconciler.daemon.watch import Watch

SPEC = "apiVersion: cell/v1\nkind: Bridge\nmetadata: {name: br0}\nspec: {}\n"


class Woken:
    """A running watch, and when it woke us."""

    def __init__(self, *paths: Path) -> None:
        self.times: list[float] = []
        self.told: list[str] = []
        self._woke = threading.Event()
        self.watch = Watch(paths, self._wake)
        self._thread = threading.Thread(target=self.watch.run, daemon=True)
        self._thread.start()
        assert self._woke.wait(2), "the watch wakes once when it is armed"
        self.forget()

    def _wake(self, trouble: str) -> None:
        self.times.append(time.monotonic())
        self.told.append(trouble)
        self._woke.set()

    def forget(self) -> None:
        """Wait until nothing comes any more, and forget what came."""
        while True:
            count = len(self.times)
            time.sleep(0.15)
            if len(self.times) == count:
                break
        self._woke.clear()

    def within(self, seconds: float) -> bool:
        return self._woke.wait(seconds)

    def close(self) -> None:
        self.watch.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def woken() -> Iterator[Callable[..., Woken]]:
    running: list[Woken] = []

    def start(*paths: Path) -> Woken:
        running.append(Woken(*paths))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "specs"
    (root / "sub").mkdir(parents=True)
    (root / "a.yaml").write_text(SPEC)
    return root


def in_place(root: Path) -> None:
    (root / "a.yaml").write_text(SPEC + "# more\n")


def atomic_rename(root: Path) -> None:
    (root / ".a.yaml.tmp").write_text(SPEC)
    os.replace(root / ".a.yaml.tmp", root / "a.yaml")


def rename_from_elsewhere(root: Path) -> None:
    other = root.parent / "elsewhere.yaml"
    other.write_text(SPEC)
    os.replace(other, root / "a.yaml")


def move_out(root: Path) -> None:
    os.replace(root / "a.yaml", root.parent / "gone.yaml")


def delete(root: Path) -> None:
    (root / "a.yaml").unlink()


def vim(root: Path) -> None:
    (root / "4913").touch()
    (root / "4913").unlink()
    os.replace(root / "a.yaml", root / "a.yaml~")
    (root / "a.yaml").write_text(SPEC)
    (root / "a.yaml~").unlink()


def nested(root: Path) -> None:
    (root / "x" / "y").mkdir(parents=True)
    (root / "x" / "y" / "b.yaml").write_text(SPEC)


def directory_moved_in(root: Path) -> None:
    other = root.parent / "ready"
    other.mkdir()
    (other / "b.yaml").write_text(SPEC)
    os.replace(other, root / "ready")


def root_recreated(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()
    (root / "b.yaml").write_text(SPEC)


def root_swapped(root: Path) -> None:
    other = root.parent / "next"
    other.mkdir()
    (other / "b.yaml").write_text(SPEC)
    os.rename(root, root.parent / "old")
    os.rename(other, root)


CHANGES = [
    in_place,
    atomic_rename,
    rename_from_elsewhere,
    move_out,
    delete,
    vim,
    nested,
    directory_moved_in,
    root_recreated,
    root_swapped,
]


@pytest.mark.parametrize("change", CHANGES)
def test_change_wakes_within_a_second_and_so_does_the_next(
    change: Callable[[Path], None], root: Path, woken: Callable[..., Woken]
) -> None:
    watch = woken(root)
    change(root)
    assert watch.within(1), "the change itself"
    watch.forget()
    (root / "later.yaml").write_text(SPEC)
    assert watch.within(1), "a later write: the watch must not have gone deaf"


def test_files_in_a_directory_moved_in_are_watched(root: Path, woken: Callable[..., Woken]) -> None:
    watch = woken(root)
    directory_moved_in(root)
    assert watch.within(1)
    watch.forget()
    (root / "ready" / "b.yaml").write_text(SPEC + "# again\n")
    assert watch.within(1)


def test_configmap_swap(tmp_path: Path, woken: Callable[..., Woken]) -> None:
    """kubelet: a.yaml → ..data/a.yaml, ..data → ..1; the swap renames a link over ..data."""
    root = tmp_path / "config"
    for version in ("..1", "..2"):
        (root / version).mkdir(parents=True)
        (root / version / "a.yaml").write_text(SPEC)
    (root / "..data").symlink_to("..1")
    (root / "a.yaml").symlink_to("..data/a.yaml")
    watch = woken(root)
    (root / "..data_tmp").symlink_to("..2")
    os.rename(root / "..data_tmp", root / "..data")
    assert watch.within(1)


def test_git_sync_swap_of_a_link_above_the_root_twice(tmp_path: Path, woken: Callable[..., Woken]) -> None:
    """git-sync: the root lies below a link that is swapped; after each swap the new tree is watched too."""
    for revision in ("rev1", "rev2", "rev3"):
        (tmp_path / "trees" / revision / "specs").mkdir(parents=True)
    link = tmp_path / "current"
    link.symlink_to("trees/rev1")
    watch = woken(link / "specs")
    for revision in ("rev2", "rev3"):
        (tmp_path / "tmp").symlink_to(f"trees/{revision}")
        os.rename(tmp_path / "tmp", link)
        assert watch.within(1), revision
        watch.forget()
        (tmp_path / "trees" / revision / "specs" / "b.yaml").write_text(SPEC)
        assert watch.within(1), f"a write in {revision}"
        watch.forget()


def test_write_through_a_linked_root(tmp_path: Path, root: Path, woken: Callable[..., Woken]) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    watch = woken(link)
    (link / "b.yaml").write_text(SPEC)
    assert watch.within(1)


def test_directory_linked_from_inside_the_root(tmp_path: Path, root: Path, woken: Callable[..., Woken]) -> None:
    """The loader follows links to directories, so what is behind one is watched, also when it appears later."""
    for name in ("shared", "later"):
        (tmp_path / "other" / name).mkdir(parents=True)
    (root / "shared").symlink_to(tmp_path / "other" / "shared")
    watch = woken(root)
    (tmp_path / "other" / "shared" / "b.yaml").write_text(SPEC)
    assert watch.within(1)
    watch.forget()
    (root / "later").symlink_to(tmp_path / "other" / "later")
    assert watch.within(1)
    watch.forget()
    (tmp_path / "other" / "later" / "b.yaml").write_text(SPEC)
    assert watch.within(1)


def test_root_that_does_not_exist_yet(tmp_path: Path, woken: Callable[..., Woken]) -> None:
    root = tmp_path / "etc" / "cell" / "specs"
    watch = woken(root)
    root.mkdir(parents=True)
    (root / "a.yaml").write_text(SPEC)
    assert watch.within(1)
    watch.forget()
    (root / "b.yaml").write_text(SPEC)
    assert watch.within(1)


def test_single_file_replaced(root: Path, woken: Callable[..., Woken]) -> None:
    watch = woken(root / "a.yaml")
    for _ in range(2):
        atomic_rename(root)
        assert watch.within(1)
        watch.forget()


def test_other_files_beside_a_single_file_do_not_wake(root: Path, woken: Callable[..., Woken]) -> None:
    watch = woken(root / "a.yaml")
    (root / "other.yaml").write_text(SPEC)
    assert not watch.within(0.4)


def test_our_own_reads_do_not_wake(root: Path, woken: Callable[..., Woken]) -> None:
    watch = woken(root)
    for _ in range(20):
        (root / "a.yaml").read_text()
        list(os.scandir(root))
        os.chmod(root / "a.yaml", 0o644)
    assert not watch.within(0.6)


def test_git_directory_and_editor_files_do_not_wake(root: Path, woken: Callable[..., Woken]) -> None:
    (root / ".git" / "objects").mkdir(parents=True)
    watch = woken(root)
    (root / ".git" / "objects" / "ab").write_text("x")
    (root / ".a.yaml.swp").write_text("x")
    (root / "a.yaml~").write_text("x")
    assert not watch.within(0.6)


def test_burst_is_one_answer_every_half_second(root: Path, woken: Callable[..., Woken]) -> None:
    watch = woken(root)
    before = len(watch.times)
    start = time.monotonic()
    for number in range(2000):
        (root / f"{number}.yaml").write_text(SPEC)
    took = time.monotonic() - start
    assert watch.within(1)
    watch.forget()
    assert 1 <= len(watch.times) - before <= took / 0.5 + 3


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_without_inotify_it_polls_and_says_so(root: Path, limit: str) -> None:
    """ENOSPC and EMFILE for real: a user namespace has its own limits."""
    script = textwrap.dedent(f"""
        import sys, threading, time
        from pathlib import Path
        open("/proc/sys/user/{limit}", "w").write("1" if "watches" in "{limit}" else "0")
        from cell_reconciler.daemon.watch import Watch
        told = []
        watch = Watch([Path({str(root)!r})], lambda trouble: told.append((time.monotonic(), trouble)))
        threading.Thread(target=watch.run, daemon=True).start()
        time.sleep(4.6)
        assert len(told) >= 2, told
        print(told[-1][1])
    """)
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("this machine does not allow user namespaces")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no file events (inotify ")
    assert "scanned every 2 s" in done.stdout


def test_places_of_a_linked_root(tmp_path: Path) -> None:
    (tmp_path / "trees" / "rev1" / "specs").mkdir(parents=True)
    (tmp_path / "current").symlink_to("trees/rev1")
    found = places([tmp_path / "current" / "specs"])
    real = str(tmp_path / "trees" / "rev1")
    assert [(p.directory, p.names) for p in found] == [
        (real + "/specs", None),
        (str(tmp_path), frozenset({"current"})),
        (real, frozenset({"specs"})),
    ]


def test_link_that_leads_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert places([tmp_path / "loop" / "specs"])
    assert identity([tmp_path / "loop"])[0][1:] == (0, 0)


@pytest.mark.parametrize(
    ("name", "result"),
    [("a.yaml", False), ("..data", False), (".a.yaml.swp", True), ("a.yaml~", True), ("4913", True), (".git/x", True)],
)
def test_ignored_names(name: str, result: bool) -> None:
    assert ignored(f"/specs/{name}") is result
