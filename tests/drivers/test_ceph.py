"""What is special about Ceph: logins, namespaces, outages, and creations that were killed half-way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from cell_reconciler.drivers import Writes
from cell_reconciler.drivers.ceph import CephDoor, open_pool
from cell_reconciler.drivers.ceph_cluster import SECONDS, read_key
from cell_reconciler.drivers.ceph_creation import TEMPORARY
from cell_reconciler.drivers.ceph_headers import string
from cell_reconciler.errors import CellError, Refused, Unreachable
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget
from tests.ceph_cluster import CephCluster, ceph_fixture  # noqa: F401  # a fixture

MARK = Mark(Key("Volume", "demo"), "0" * 16)
KEY = "AQBSdFhnAAAAABAAqR3mXkd4Vh0jQ0p7n2K5tA=="  # made up


def door(target: PoolTarget) -> CephDoor:
    return open_pool(target, Writes())


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY + "\n",
        f'[client.cell]\n\tkey = {KEY}\n\tcaps mon = "profile rbd"\n',
        f"[client.x]\nkey = AAAA\n[client.cell]\nkey={KEY}\n",
    ],
)
def test_a_key_is_read_bare_or_from_a_keyring(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    target = PoolTarget(name="glue", backend="rbd", user="cell", secret_file=str(tmp_path / "key"))
    assert read_key(target, "Ceph") == KEY


@pytest.mark.parametrize("text", ["", "not a key", f"[client.other]\nkey = {KEY}\n", "c2hvcnQ=", "\xff"])
def test_what_is_no_key_is_never_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text, encoding="latin-1")
    target = PoolTarget(name="glue", backend="rbd", user="cell", secret_file=str(tmp_path / "key"))
    with pytest.raises(Unreachable) as caught:
        read_key(target, "Ceph")
    assert "key" in caught.value.reason
    assert KEY not in str(caught.value) + caught.value.advice
    assert len(text) < 5 or text not in str(caught.value)


def test_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = PoolTarget(name="glue", backend="rbd", user="cell", secret_file="$CREDENTIALS_DIRECTORY/ceph")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(Unreachable, match="systemd gave no credentials"):
        read_key(target, "Ceph")
    (tmp_path / "ceph").write_text(KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_key(target, "Ceph") == KEY


def test_without_the_ceph_packages_it_says_what_to_install(tmp_path: Path) -> None:
    """A Python that does not see the distribution's packages, as in a plain virtual environment."""
    (tmp_path / "key").write_text(KEY)
    script = (
        "import sys; sys.modules['rados'] = None\n"
        "from cell_reconciler.drivers import Writes\n"
        "from cell_reconciler.drivers.ceph import open_pool\n"
        "from cell_reconciler.model.storage import PoolTarget\n"
        f"t = PoolTarget(name='g', backend='rbd', monitors=('::1',), user='u', secret_file={str(tmp_path / 'key')!r})\n"
        "try: open_pool(t, Writes()).observe()\n"
        "except Exception as e: print(type(e).__name__, e, e.advice)\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.startswith("Unreachable ")
    assert "rados is missing" in out
    assert "python3-rbd" in out


@pytest.mark.ceph
def test_a_monitor_that_is_not_there(ceph: CephCluster) -> None:
    target = msgspec.structs.replace(ceph.target(ceph.pool), monitors=("127.0.0.1:1",))
    started = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        door(target).observe()
    assert time.monotonic() - started < 4 * SECONDS
    assert "127.0.0.1:1" in str(caught.value)


@pytest.mark.ceph
def test_logins_that_are_refused(ceph: CephCluster, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    wrong = ceph.target(ceph.pool, secret_file=str(tmp_path / "key"))
    with pytest.raises(Unreachable, match=r"client\.cell") as caught:
        door(wrong).observe()
    assert KEY not in str(caught.value)
    with pytest.raises(Unreachable, match=r"client\.nobody"):
        door(ceph.target(ceph.pool, user="nobody")).observe()


@pytest.mark.ceph
def test_a_user_without_rights_to_the_pool(ceph: CephCluster, tmp_path: Path) -> None:
    ceph.run("ceph", "auth", "get-or-create", "client.poor", "mon", "profile rbd", "osd", "profile rbd pool=other")
    (tmp_path / "key").write_text(ceph.run("ceph", "auth", "get-key", "client.poor"))
    with pytest.raises(Unreachable, match=r"client\.poor may not") as caught:
        door(ceph.target(ceph.pool, user="poor", secret_file=str(tmp_path / "key"))).observe()
    assert "profile rbd" in caught.value.advice


@pytest.mark.ceph
def test_a_key_that_is_changed_is_used_at_once(ceph: CephCluster, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(ceph.key_file.read_text())
    pool = door(ceph.target(ceph.pool, secret_file=str(file)))
    first = pool.observe()[0].detail["secret_digest"]
    file.write_text(KEY)
    with pytest.raises(Unreachable):
        pool.observe()
    file.unlink()
    with pytest.raises(Unreachable, match="cannot be read"):
        pool.observe()
    file.write_text(ceph.key_file.read_text())
    assert pool.observe()[0].detail["secret_digest"] == first
    pool.close()


@pytest.mark.ceph
def test_the_pool_itself_is_never_made_or_deleted(ceph: CephCluster) -> None:
    absent = door(ceph.target("nowhere"))
    with pytest.raises(Refused) as caught:
        absent.create_pool(MARK)
    assert "ceph osd pool create nowhere" in caught.value.advice
    with pytest.raises(Refused, match="does not exist"):
        absent.create("demo", 2**20, MARK)
    with pytest.raises(Refused):
        door(ceph.target(ceph.pool)).delete_pool()
    assert "nowhere" not in ceph.run("ceph", "osd", "pool", "ls")


@pytest.mark.ceph
def test_namespaces_are_apart(ceph: CephCluster) -> None:
    inside, beside = ceph.new_place(), ceph.target(ceph.pool)
    absent = msgspec.structs.replace(inside, namespace="no-such-namespace")
    assert door(absent).observe()[0].exists is False
    with pytest.raises(Refused, match="does not exist") as caught:
        door(absent).create("demo", 2**20, MARK)
    assert f"rbd namespace create {absent.place}" in caught.value.advice
    door(inside).create("demo", 2**20, MARK)
    assert [image.name for image in door(inside).observe()[1]] == ["demo"]
    assert door(beside).image("demo") is None
    door(beside).create("demo", 2**21, MARK)
    assert [image.size for image in (*door(beside).observe()[1], *door(inside).observe()[1])] == [2**21, 2**20]
    door(beside).remove("demo")


@pytest.mark.ceph
@pytest.mark.parametrize(
    "stopped", ["created", "marked", "id written", "directory written", "nothing but an id", "no id"]
)
def test_a_creation_that_was_killed_is_finished(ceph: CephCluster, stopped: str) -> None:
    """The steps of a create and of librbd's rename, done by hand up to where the process died."""
    import rbd

    target = ceph.new_place()
    temporary = f"{TEMPORARY}{os.uname().nodename}.demo"
    pool = door(target)
    with ceph.ioctx(target) as ioctx:
        rbd.RBD().create(ioctx, temporary, 2**20)
        identity = ioctx.read(f"rbd_id.{temporary}")
        if stopped != "created":
            pool.set_mark(temporary, MARK)
        if stopped in ("id written", "directory written"):
            ioctx.write_full("rbd_id.demo", identity)
        if stopped == "directory written":
            rename = string(temporary) + string("demo") + identity
            ioctx.execute("rbd_directory", "rbd", "dir_rename_image", rename)
        if stopped == "nothing but an id":
            rbd.RBD().remove(ioctx, temporary)
            ioctx.write_full(f"rbd_id.{temporary}", identity)
        if stopped == "no id":  # the removal of such a leftover was stopped in its turn
            ioctx.remove_object(f"rbd_id.{temporary}")
        assert [i.name for i in pool.observe()[1]] == (["demo"] if stopped == "directory written" else [])
        pool.create("demo", 2**21, MARK)
        assert [entry["name"] for entry in rbd.RBD().list2(ioctx)] == ["demo"]
        left = sorted(o.key for o in ioctx.list_objects() if o.key.startswith(("rbd_id.", "rbd_header.")))
        assert len(left) == 2, left
    image = pool.image("demo")
    assert image is not None
    assert (image.mark, image.size) == (MARK.to_text(), 2**20 if stopped == "directory written" else 2**21)
    pool.close()


@pytest.mark.ceph
def test_somebody_elses_leftovers_are_left_alone(ceph: CephCluster) -> None:
    """Another host that shares the pool may be making the same volume right now."""
    import rbd

    target = ceph.new_place()
    with ceph.ioctx(target) as ioctx:
        rbd.RBD().create(ioctx, f"{TEMPORARY}another-host.demo", 2**20)
        door(target).create("demo", 2**20, MARK)
        names = sorted(entry["name"] for entry in rbd.RBD().list2(ioctx))
    assert names == [f"{TEMPORARY}another-host.demo", "demo"]
    assert [image.name for image in door(target).observe()[1]] == ["demo"]


@pytest.mark.ceph
def test_snapshots_keep_an_image(ceph: CephCluster) -> None:
    target = ceph.new_place()
    pool = door(target)
    pool.create("demo", 2**20, MARK)
    ceph.run("rbd", "snap", "create", f"{target.place}/demo@one")
    with pytest.raises(Refused, match="demo@one is not ours"):
        pool.remove("demo")
    assert pool.image("demo") is not None
    pool.close()


@pytest.mark.ceph
@pytest.mark.parametrize("daemon", ["osd", "mon"])
def test_an_outage_is_noticed_and_survived(ceph: CephCluster, daemon: str) -> None:
    """Frozen, a daemon keeps its connections and answers nothing: the worst way to be away."""
    pool = door(ceph.new_place())
    pool.create("demo", 2**20, MARK)
    ceph.freeze(daemon)
    try:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(Unreachable):
                pool.observe()
            assert time.monotonic() - started < 4 * SECONDS
        with pytest.raises(CellError):
            pool.create("other", 2**20, Mark(Key("Volume", "other"), "0" * 16))
    finally:
        ceph.thaw(daemon)
    until = time.monotonic() + 60
    while True:
        try:
            assert "demo" in [image.name for image in pool.observe()[1]]
            break
        except Unreachable:
            assert time.monotonic() < until, "it never came back"
            threading.Event().wait(0.5)
    pool.create("other", 2**20, Mark(Key("Volume", "other"), "0" * 16))
    assert sorted(image.name for image in pool.observe()[1]) == ["demo", "other"]
    pool.close()


@pytest.mark.ceph
def test_the_end_of_the_process_does_not_wait_for_a_frozen_cluster(ceph: CephCluster, tmp_path: Path) -> None:
    target = ceph.new_place()
    (tmp_path / "target").write_bytes(msgspec.json.encode(target))
    script = (
        "import sys, msgspec\n"
        "from cell_reconciler.drivers import Writes\n"
        "from cell_reconciler.drivers.ceph import open_pool\n"
        "from cell_reconciler.model.storage import PoolTarget\n"
        f"pool = open_pool(msgspec.json.decode(open({str(tmp_path / 'target')!r}).read(), type=PoolTarget), Writes())\n"
        "pool.observe(); print('up', flush=True); sys.stdin.readline()\n"
        "try: pool.observe()\n"
        "except Exception as e: print(type(e).__name__, flush=True)\n"
        "pool.close()\n"
    )
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        ceph.freeze("osd", "mon")
        try:
            out, _ = child.communicate("go\n", timeout=8 * SECONDS)
        finally:
            ceph.thaw("osd", "mon")
            child.kill()
        assert (out, child.returncode) == ("Unreachable\n", 0)
