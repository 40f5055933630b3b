"""What editors and GitOps tools do to a directory, and what a scan makes of it (no watcher: that is the daemon's)."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cell_reconciler.load import Specs, load_files
from cell_reconciler.model.document import Loaded
from cell_reconciler.model.key import Key

HOST = "apiVersion: cell/v1\nkind: Host\nmetadata: {{name: {name}}}\nspec: {{domainType: {type}}}\n"


def host(name: str, type: str = "kvm") -> str:
    return HOST.format(name=name, type=type)


def names(loaded: Loaded) -> list[str]:
    return sorted(key.name for key in loaded.documents)


def rules(loaded: Loaded) -> list[str]:
    return [found.rule for found in loaded.diagnostics]


def domain_type(loaded: Loaded, name: str) -> str:
    return str(loaded.documents[Key("Host", name)].spec.domain_type)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "specs"
    (root / "nested" / "deeper").mkdir(parents=True)
    (root / "a.yaml").write_text(host("a"))
    (root / "nested" / "b.yml").write_text(host("b"))
    (root / "nested" / "deeper" / "c.json").write_text(
        '{"apiVersion": "cell/v1", "kind": "Host", "metadata": {"name": "c"}, "spec": {}}'
    )
    return root


@pytest.fixture
def specs(tree: Path) -> Specs:
    return Specs([str(tree)], "h")


def test_nested_folders_and_all_suffixes(specs: Specs, tree: Path) -> None:
    loaded = specs.scan()
    assert names(loaded) == ["a", "b", "c"]
    assert loaded.complete
    assert loaded.files == specs.documents_read == 3
    assert loaded.documents[Key("Host", "b")].position.file == f"{tree}/nested/b.yml"


def test_nothing_changed_is_the_same_result(specs: Specs) -> None:
    assert specs.scan() is specs.scan()


def test_a_changed_file_alone_is_read_again(specs: Specs, tree: Path) -> None:
    before = specs.scan()
    (tree / "a.yaml").write_text(host("a", "qemu"))
    after = specs.scan()
    assert domain_type(after, "a") == "qemu"
    assert after.documents[Key("Host", "b")] is before.documents[Key("Host", "b")]


def test_same_size_and_same_time_is_still_noticed(specs: Specs, tree: Path) -> None:
    path = tree / "a.yaml"
    path.write_text(host("a", "kvm "))
    status = path.stat()
    specs.scan()
    path.write_text(host("a", "qemu"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert domain_type(specs.scan(), "a") == "qemu"


def test_touch_changes_nothing(specs: Specs, tree: Path) -> None:
    before = specs.scan()
    os.utime(tree / "a.yaml", (1, 1))
    assert specs.scan() is before


def test_atomic_rename(specs: Specs, tree: Path, tmp_path: Path) -> None:
    specs.scan()
    for place in (tree, tmp_path):  # in the same directory, and from outside
        new = place / ".a.yaml.tmp"
        new.write_text(host("a", "qemu" if place == tree else "kvm"))
        os.replace(new, tree / "a.yaml")
        assert domain_type(specs.scan(), "a") == ("qemu" if place == tree else "kvm")


def test_what_editors_leave_is_not_a_spec(specs: Specs, tree: Path) -> None:
    before = specs.scan()
    for name in (
        "a.yaml~",
        ".a.yaml.swp",
        ".a.yaml.swx",
        "4913",
        "#a.yaml#",
        ".hidden.yaml",
        "notes.txt",
        "a.yaml.bak",
    ):
        (tree / name).write_text(host("stray"))
    (tree / ".#a.yaml").symlink_to("user@host.1234:5678")  # Emacs' lock: a link that leads nowhere
    for folder in (".git", "..2026_11_23", ".terraform"):
        (tree / folder).mkdir()
        (tree / folder / "x.yaml").write_text(host("stray"))
    assert specs.scan() is before


def test_a_save_of_vim_step_by_step(specs: Specs, tree: Path) -> None:
    specs.scan()
    (tree / "4913").touch()
    (tree / "4913").unlink()
    os.rename(tree / "a.yaml", tree / "a.yaml~")
    (tree / "a.yaml").write_text(host("a", "qemu"))
    (tree / "a.yaml~").unlink()
    loaded = specs.scan()
    assert (domain_type(loaded, "a"), loaded.complete) == ("qemu", True)


def configmap(root: Path, revision: str, files: dict[str, str]) -> None:
    """What kubelet does: a new folder, then the link ``..data`` is replaced by rename."""
    data = root / f"..{revision}"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / name).write_text(text)
    (root / "..data_tmp").symlink_to(data.name)
    os.replace(root / "..data_tmp", root / "..data")
    for name in files:
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"..data/{name}")


def test_configmap_swap(tmp_path: Path) -> None:
    root = tmp_path / "config"
    configmap(root, "1", {"a.yaml": host("a"), "b.yaml": host("b")})
    specs = Specs([str(root)], "h")
    first = specs.scan()
    assert names(first) == ["a", "b"]
    assert first.documents[Key("Host", "a")].position.file == f"{root}/a.yaml"
    configmap(root, "2", {"a.yaml": host("a", "qemu")})
    shutil.rmtree(root / "..1")
    second = specs.scan()  # b.yaml is still there, as a link that leads nowhere, until kubelet removes it
    assert (names(second), domain_type(second, "a"), second.complete) == (["a"], "qemu", True)


def test_git_sync_swap(tmp_path: Path) -> None:
    for revision, kind in (("one", "kvm"), ("two", "qemu")):
        (tmp_path / "worktrees" / revision).mkdir(parents=True)
        (tmp_path / "worktrees" / revision / "a.yaml").write_text(host("a", kind))
    link = tmp_path / "current"
    link.symlink_to("worktrees/one")
    specs = Specs([str(link)], "h")
    assert domain_type(specs.scan(), "a") == "kvm"
    (tmp_path / "tmp-link").symlink_to("worktrees/two")
    os.replace(tmp_path / "tmp-link", link)
    loaded = specs.scan()
    assert domain_type(loaded, "a") == "qemu"
    assert loaded.documents[Key("Host", "a")].position.file == f"{link}/a.yaml", "the name that people know"


def test_root_swapped_by_rename(specs: Specs, tree: Path, tmp_path: Path) -> None:
    specs.scan()
    new = tmp_path / "new"
    new.mkdir()
    (new / "a.yaml").write_text(host("a", "qemu"))
    os.rename(tree, tmp_path / "old")
    os.rename(new, tree)
    assert names(specs.scan()) == ["a"]


def test_a_vanished_root_keeps_what_was_in_force(specs: Specs, tree: Path, tmp_path: Path) -> None:
    before = specs.scan()
    os.rename(tree, tmp_path / "away")
    gone = specs.scan()
    assert rules(gone) == ["no-specs"]
    assert not gone.complete
    assert gone.documents == before.documents
    assert gone.stale == before.documents.keys()
    os.rename(tmp_path / "away", tree)
    back = specs.scan()
    assert (back.complete, back.stale, names(back)) == (True, frozenset(), ["a", "b", "c"])


def test_an_empty_root_is_visible(specs: Specs, tree: Path) -> None:
    specs.scan()
    shutil.rmtree(tree)
    tree.mkdir()
    (tree / "README.md").write_text("no specs here")
    loaded = specs.scan()
    assert (rules(loaded), loaded.complete, names(loaded)) == (["no-specs"], False, [])


def test_an_invalid_file_keeps_its_last_good_version(specs: Specs, tree: Path) -> None:
    (tree / "a.yaml").write_text(host("a") + "---\n" + host("a2"))
    before = specs.scan()
    (tree / "a.yaml").write_text(host("a", "xen") + "---\n" + host("a3"))
    broken = specs.scan()
    assert names(broken) == ["a", "a2", "b", "c"], "the file counts as a whole, as it was"
    assert broken.documents[Key("Host", "a")] is before.documents[Key("Host", "a")]
    assert broken.stale == {Key("Host", "a"), Key("Host", "a2")}
    assert not broken.complete
    (tree / "b2.yaml").write_text(host("b2"))
    assert names(specs.scan()) == ["a", "a2", "b", "b2", "c"], "other files go on"
    (tree / "a.yaml").write_text(host("a", "qemu"))
    healed = specs.scan()
    assert (names(healed), healed.stale, healed.complete) == (["a", "b", "b2", "c"], frozenset(), True)


def test_a_file_that_is_invalid_from_the_start_declares_nothing(specs: Specs, tree: Path) -> None:
    (tree / "x.yaml").write_text(host("x") + "---\nkind: [\n")
    loaded = specs.scan()
    assert (names(loaded), loaded.stale, loaded.complete) == (["a", "b", "c"], frozenset(), False)


@pytest.mark.parametrize("how", ["delete", "empty", "comment"])
def test_a_file_without_documents_removes_them(specs: Specs, tree: Path, how: str) -> None:
    specs.scan()
    path = tree / "a.yaml"
    path.unlink() if how == "delete" else path.write_text("# gone\n" if how == "comment" else "")
    loaded = specs.scan()
    assert (names(loaded), loaded.complete) == (["b", "c"], True)


def test_a_duplicate_keeps_the_last_good_version(specs: Specs, tree: Path) -> None:
    before = specs.scan()
    (tree / "z.yaml").write_text(host("a", "qemu"))
    loaded = specs.scan()
    assert rules(loaded) == ["duplicate-key", "duplicate-key"]
    assert {str(d.position) for d in loaded.diagnostics} == {f"{tree}/a.yaml:1:1", f"{tree}/z.yaml:1:1"}
    assert loaded.documents[Key("Host", "a")] == before.documents[Key("Host", "a")]
    assert loaded.stale == {Key("Host", "a")}
    os.unlink(tree / "a.yaml")
    moved = specs.scan()
    assert (domain_type(moved, "a"), moved.complete) == ("qemu", True)


def test_links_and_loops(specs: Specs, tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.yaml").write_text(host("o"))
    (tree / "nested" / "up").symlink_to("..")
    (tree / "nested" / "self").symlink_to("self")
    (tree / "out").symlink_to(outside)
    (tree / "again").symlink_to(outside)
    (tree / "same.yaml").symlink_to("a.yaml")
    loaded = specs.scan()
    assert (names(loaded), loaded.complete) == (["a", "b", "c", "o"], True)


def test_a_link_that_leads_nowhere_is_a_finding(specs: Specs, tree: Path) -> None:
    (tree / "x.yaml").symlink_to("gone.yaml")
    loaded = specs.scan()
    assert [str(d) for d in loaded.diagnostics] == [
        f"{tree}/x.yaml:1:1: error [unreadable] cannot be read: the link leads nowhere"
    ]


def test_what_is_no_file_is_not_opened(specs: Specs, tree: Path) -> None:
    os.mkfifo(tree / "pipe.yaml")  # opening it would wait for ever
    loaded = specs.scan()
    assert (rules(loaded), names(loaded)) == (["unreadable"], ["a", "b", "c"])


def test_a_folder_that_ends_in_yaml_is_a_folder(specs: Specs, tree: Path) -> None:
    (tree / "dir.yaml").mkdir()
    (tree / "dir.yaml" / "d.yaml").write_text(host("d"))
    assert names(specs.scan()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("what", ["file", "folder"])
def test_unreadable_is_a_finding_and_keeps_what_was_in_force(tree: Path, what: str) -> None:
    """Root reads everything, so where we are root a child process of another user does it."""
    public = Path(tempfile.mkdtemp())  # unlike tmp_path, others may enter it
    public.chmod(0o755)
    tree = Path(shutil.copytree(tree, public / "specs"))
    victim = tree / "nested" / "b.yml" if what == "file" else tree / "nested"
    code = (
        "import os, sys, pathlib\n"
        "from cell_reconciler.load import Specs\n"
        "specs, victim = Specs([sys.argv[1]], 'h'), pathlib.Path(sys.argv[2])\n"
        "before = specs.scan()\n"
        "os.chmod(victim, 0)\n"
        "os.setuid(65534) if os.getuid() == 0 else None\n"
        "after = specs.scan()\n"
        "print([str(d.rule) for d in after.diagnostics], sorted(map(str, after.stale)), before.complete)\n"
    )
    argv = [sys.executable, "-c", code, str(tree), str(victim)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    finally:
        victim.chmod(0o755)
        shutil.rmtree(public)
    stale = "['Host/b']" if what == "file" else "['Host/b', 'Host/c']"
    assert done.stdout == f"['unreadable'] {stale} True\n", done.stderr


def test_a_file_that_vanishes_during_the_scan_is_deleted(
    specs: Specs, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cell_reconciler.load import source

    read = source.read_bytes

    def vanish(path: str) -> bytes:
        if path.endswith("b.yml"):
            os.unlink(path)
        return read(path)

    monkeypatch.setattr(source, "read_bytes", vanish)
    loaded = specs.scan()
    assert (names(loaded), loaded.complete) == (["a", "c"], True)


def test_a_swap_in_the_middle_of_a_scan_is_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for revision, kind in (("one", "kvm"), ("two", "qemu")):
        (tmp_path / revision).mkdir()
        for name in "ab":
            (tmp_path / revision / f"{name}.yaml").write_text(host(name, kind))
    link = tmp_path / "current"
    link.symlink_to("one")
    from cell_reconciler.load import source

    read, swapped = source.read_bytes, []

    def swap(path: str) -> bytes:
        if not swapped:
            (tmp_path / "new").symlink_to("two")
            os.replace(tmp_path / "new", link)
            swapped.append(path)
        return read(path)

    monkeypatch.setattr(source, "read_bytes", swap)
    specs = Specs([str(link)], "h")
    types = [{domain_type(loaded, name) for name in "ab"} for loaded in (specs.scan(), specs.scan())]
    assert types == [{"kvm"}, {"qemu"}]


def test_single_files_and_missing_ones(tree: Path) -> None:
    odd = tree / "odd.txt"
    odd.write_text(host("odd"))
    loaded = load_files([str(odd), str(tree / "a.yaml"), str(tree / "none.yaml")], "h")
    assert names(loaded) == ["a", "odd"], "a file that is named is read whatever it is called"
    assert rules(loaded) == ["no-specs"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(host("x").encode())))
    specs = Specs(["-"], "h")
    loaded = specs.scan()
    assert names(loaded) == ["x"]
    assert loaded.documents[Key("Host", "x")].position.file == "<stdin>"
    assert specs.scan() is loaded


def test_overlapping_paths_are_read_once(tree: Path) -> None:
    loaded = load_files([str(tree), str(tree / "nested"), str(tree / "a.yaml")], "h")
    assert (names(loaded), loaded.complete) == (["a", "b", "c"], True)
