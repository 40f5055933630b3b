"""Images for cloud-init as files: the same bytes for the same content, whole or not there, and only ours removed."""

from __future__ import annotations

import io
import os
import subprocess
import time
from pathlib import Path

import pycdlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.drivers import nocloud, secret_files
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.seeds import SeedDoor
from cell_reconciler.errors import StepFailed
from cell_reconciler.model.guest import META, NETWORK, USER, SeedTarget, Text
from tests.limited import file_size

_texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=5000)
_files = st.fixed_dictionaries({USER: _texts, META: _texts}, optional={NETWORK: _texts})


def target(user: str = "#cloud-config\n", file: Path | None = None) -> SeedTarget:
    text = Text(file=str(file)) if file else Text(text=user)
    return SeedTarget(vm="web", files={USER: text, META: Text(text="{}")}, declared="d")


@pytest.fixture
def door(tmp_path: Path) -> SeedDoor:
    return SeedDoor(str(tmp_path / "seeds"), Writes())


@given(_files)
def test_an_image_holds_what_it_was_made_of(files: dict[str, str]) -> None:
    data = nocloud.image("VirtualMachine/web", files)
    label = nocloud.label(data[: nocloud.HEADER])
    assert label == nocloud.Label("VirtualMachine/web", nocloud.digests(files))
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(data))
    for path in ("iso_path", "joliet_path"):
        found = {}
        for name in files:
            held = io.BytesIO()
            iso.get_file_from_iso_fp(held, **{path: f"/{name}"})
            found[name] = held.getvalue().decode()
        assert found == files
    iso.close()


def test_the_same_content_is_the_same_bytes_at_any_time_and_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {USER: "#!/bin/sh\n", META: "{}", NETWORK: "version: 2\n"}
    first = nocloud.image("VirtualMachine/web", files)
    try:
        monkeypatch.setenv("TZ", "Asia/Seoul")
        time.tzset()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 10**6)
        assert nocloud.image("VirtualMachine/web", files) == first
    finally:
        monkeypatch.undo()
        time.tzset()


def test_others_read_the_label_by_which_cloud_init_looks_for_it(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(nocloud.image("VirtualMachine/web", {USER: "", META: "{}"}))
    argv = ["blkid", "-p", "-o", "export", str(tmp_path / "image")]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert {"LABEL=cidata", "TYPE=iso9660"} <= set(said)


@pytest.mark.parametrize("size", [0, 100, nocloud.HEADER - 1, nocloud.HEADER])
def test_what_is_no_image_of_ours_has_no_label(size: int) -> None:
    assert nocloud.label(bytes(size)) is None
    data = bytearray(nocloud.image("VirtualMachine/web", {USER: ""}))
    data[16 * 2048 + 883] = ord("x")
    assert nocloud.label(bytes(data)) is None, "somebody else's cidata"


def test_images_are_compared_by_what_they_should_hold(door: SeedDoor, tmp_path: Path) -> None:
    path = f"{door.directory}/web.1.iso"
    assert door.observe({"web": target()})["web"].images == {}
    assert not os.path.exists(door.directory), "looking writes nothing"
    before = os.umask(0o077)
    try:
        door.keep(path, target())
    finally:
        os.umask(before)
    assert door.holds(path, target())
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(door.directory).st_mode & 0o777 == 0o711
    assert door.observe({"web": target()})["web"].images == {path: ()}
    assert door.observe({"web": target("#!")})["web"].images == {path: (USER,)}
    file = tmp_path / "data"
    seen = door.observe({"web": target(file=file)})["web"]
    assert (seen.images, str(file) in seen.error) == ({path: (USER, META, NETWORK)}, True)
    file.write_text("#cloud-config\n")
    assert door.observe({"web": target(file=file)})["web"].images == {path: ()}
    assert door.observe({}, ["other"]) == {}


def test_what_a_killed_run_began_is_seen_and_replaced(door: SeedDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{door.directory}/web.1.iso"
    monkeypatch.setattr(os, "rename", _killed)
    with pytest.raises(KeyboardInterrupt):
        door.keep(path, target())
    monkeypatch.undo()
    begun = f"{door.directory}/.web.1.iso.new"
    assert door.observe({})["web"].images.keys() == {begun}
    assert not door.holds(path, target())
    door.keep(path, target())
    assert door.images("web") == (path,)


def test_a_disk_that_is_full_keeps_no_part_of_an_image(door: SeedDoor) -> None:
    with file_size(1000), pytest.raises(StepFailed, match=r"web\.1\.iso: File too large"):
        door.keep(f"{door.directory}/web.1.iso", target())
    assert os.listdir(door.directory) == []


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_only_our_own_image_of_this_vm_is_removed(door: SeedDoor) -> None:
    path, other = f"{door.directory}/web.1.iso", f"{door.directory}/web.2.iso"
    door.keep(path, target())
    Path(other).write_bytes(nocloud.image("VirtualMachine/db", {USER: ""}))  # renamed by hand
    foreign = Path(door.directory, "web.3.iso")
    foreign.write_bytes(b"tools")
    Path(door.directory, "web.4.iso").symlink_to(path)
    for name in ("web.1.iso", "web.2.iso", "web.3.iso", "web.4.iso", "../seeds/web.1.iso"):
        door.remove("db", f"{door.directory}/{name}")
    assert len(os.listdir(door.directory)) == 4
    for name in ("web.2.iso", "web.3.iso", "web.4.iso"):
        door.remove("web", f"{door.directory}/{name}")
    assert len(os.listdir(door.directory)) == 4
    door.remove("web", path)
    door.remove("web", path)
    assert not Path(path).exists()
    assert door.count.calls == {"seeds.write": 1, "seeds.remove": 1}


def test_a_vm_may_be_named_like_an_image(door: SeedDoor) -> None:
    wanted = SeedTarget(vm="web.1.iso", files={USER: Text(text="x")}, declared="d")
    door.keep(f"{door.directory}/web.1.iso.1.iso", wanted)
    assert door.observe({}).keys() == {"web.1.iso"}


def test_a_directory_that_cannot_be_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    door = SeedDoor(str(tmp_path / "file"), Writes())
    assert str(tmp_path / "file") in door.observe({"web": target()})["web"].error
    with pytest.raises(StepFailed, match="file"):
        door.keep(f"{door.directory}/web.1.iso", target())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"123456789", "has 9 characters"),
        (b"\n", "is empty"),
        ("pä".encode(), "printable ASCII"),
        (b"\xff", "is not text"),
        (b"x" * 5000, "more than 4096 bytes"),
    ],
)
def test_a_password_that_vnc_cannot_have_is_told_without_it(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(StepFailed, match=said) as caught:
        secret_files.password(str(file))
    assert str(file) in caught.value.message
    assert (
        content.decode(errors="replace").strip() not in caught.value.message.replace(str(file), "")
        or not content.strip()
    )


def test_a_password_comes_without_its_newline_and_from_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vnc").write_text("12345678\n")
    assert secret_files.password(str(tmp_path / "vnc")) == "12345678"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(StepFailed, match="systemd gave no credentials"):
        secret_files.password("$CREDENTIALS_DIRECTORY/vnc")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret_files.password("$CREDENTIALS_DIRECTORY/vnc") == "12345678"


def test_a_pipe_or_a_directory_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(StepFailed, match=r"is no file|cannot be read"):
            secret_files.text(str(path))
