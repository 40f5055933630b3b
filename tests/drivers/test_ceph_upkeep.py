"""Snapshots and settings of RBD images on a real Ceph: read past librbd, and changed without harm to their users."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from cell_reconciler.drivers import Doors, Writes
from cell_reconciler.drivers.ceph import CephDoor, open_pool
from cell_reconciler.errors import Refused, StepFailed, Transient
from cell_reconciler.kinds.volume.actions import DeleteSnapshots
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Image, Snapshot
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget, snapshot_name
from tests.ceph_cluster import CephCluster, ceph_fixture  # noqa: F401  # a fixture

pytestmark = pytest.mark.ceph

MIB = 2**20
MARK = Mark(Key("Volume", "demo"), "0" * 16)
NOTED = {"snapshots": "{}", "settings": "rbd_cache_policy"}
FIRST, SECOND, THIRD = (snapshot_name(datetime(2026, 11, 28, hour, tzinfo=UTC)) for hour in (9, 10, 11))


@pytest.fixture
def target(ceph: CephCluster) -> PoolTarget:
    return ceph.new_place()


@pytest.fixture
def door(target: PoolTarget) -> Iterator[CephDoor]:
    opened = open_pool(target, Writes())
    opened.create("demo", MIB, MARK, NOTED)
    yield opened
    opened.close()


def seen(door: CephDoor) -> Image:
    """In bulk, and alone the same."""
    (image,) = (image for image in door.observe()[1] if image.name == "demo")
    assert door.image("demo") == image
    return image


def test_snapshots_are_those_of_librbd(ceph: CephCluster, target: PoolTarget, door: CephDoor) -> None:
    import rbd

    assert seen(door).snapshots == ()
    with ceph.ioctx(target) as ioctx:
        with rbd.Image(ioctx, "demo") as image:
            for name in ("by hand", FIRST, SECOND):
                image.create_snap(name)
            image.protect_snap(SECOND)
            names = [snapshot["name"] for snapshot in image.list_snaps()]
        rbd.RBD().clone(ioctx, "demo", SECOND, ioctx, "kid")
        with rbd.Image(ioctx, "kid") as image:  # its own are encoded with the overlap of its parent
            image.create_snap("of a clone")
            creation_mark(image)
    found = seen(door).snapshots
    assert found is not None
    assert [snapshot.name for snapshot in found] == names
    assert {snapshot.name: snapshot.held for snapshot in found} == {"by hand": False, FIRST: False, SECOND: True}
    assert door.snapshots("demo") == found
    assert door.snapshots("kid") == (Snapshot(name="of a clone"),)
    assert door.snapshots("none") == ()


def creation_mark(image: object) -> None:
    from cell_reconciler.drivers.ceph_creation import write_mark

    write_mark(image, Mark(Key("Volume", "kid"), "0" * 16), NOTED)


def test_nothing_more_is_read_of_images_without_a_note(ceph: CephCluster, target: PoolTarget, door: CephDoor) -> None:
    door.create("plain", MIB, Mark(Key("Volume", "plain"), "0" * 16))
    door.take_snapshot("plain", FIRST)
    door.set_settings("plain", {"rbd_cache_policy": "writeback"}, ())
    (plain,) = (image for image in door.observe()[1] if image.name == "plain")
    assert (plain.snapshots, plain.settings) == (None, {})
    assert door.snapshots("plain") == (Snapshot(name=FIRST),), "asked for by name, they are told"


def test_hosts_that_share_a_pool_take_one_snapshot(target: PoolTarget, door: CephDoor) -> None:
    hosts = [open_pool(target, Writes()) for _ in range(3)]
    with ThreadPoolExecutor(3) as executor:
        results = [executor.submit(host.take_snapshot, "demo", FIRST) for host in hosts]
    assert [result.exception() for result in results] == [None] * 3
    assert seen(door).snapshots == (Snapshot(name=FIRST),)
    for host in hosts:
        host.close()


def test_deletes_ours_and_no_other(ceph: CephCluster, target: PoolTarget, door: CephDoor) -> None:
    for name in (FIRST, SECOND, THIRD):
        door.take_snapshot("demo", name)
    ceph.run("rbd", "snap", "create", f"{target.place}/demo@by-hand")
    ceph.run("rbd", "snap", "protect", f"{target.place}/demo@{SECOND}")
    for names, why in (([FIRST, "by-hand"], "not ours"), ([FIRST, SECOND], "protected")):
        with pytest.raises(Refused, match=why):
            door.delete_snapshots("demo", names)
    assert len(door.snapshots("demo")) == 4, "all of them or none"
    door.delete_snapshots("demo", [FIRST, THIRD, "cell-20200101T000000Z"])
    door.delete_snapshots("demo", [FIRST])
    assert [snapshot.name for snapshot in door.snapshots("demo")] == [SECOND, "by-hand"]
    with pytest.raises(StepFailed):
        door.take_snapshot("none", FIRST)


def test_many_at_once_but_for_one_that_is_held(ceph: CephCluster, target: PoolTarget, door: CephDoor) -> None:
    names = [snapshot_name(datetime(2026, 11, 27 + n // 24, n % 24, tzinfo=UTC)) for n in range(25)]
    for name in names:
        door.take_snapshot("demo", name)
    ceph.run("rbd", "snap", "protect", f"{target.place}/demo@{names[3]}")
    delete = DeleteSnapshots(target=target, name="demo", snapshots=tuple(names[:-1]))
    doors = Doors()
    assert not delete.done(doors)
    delete.do(doors)
    assert delete.done(doors)
    doors.close()
    assert [snapshot.name for snapshot in door.snapshots("demo")] == [names[3], names[-1]]


def test_a_removed_volume_takes_its_snapshots_along_but_none_of_others(
    ceph: CephCluster, target: PoolTarget, door: CephDoor
) -> None:
    door.take_snapshot("demo", FIRST)
    ceph.run("rbd", "snap", "create", f"{target.place}/demo@by-hand")
    with pytest.raises(Refused, match="by-hand is not ours"):
        door.remove("demo")
    assert len(door.snapshots("demo")) == 2
    ceph.run("rbd", "snap", "rm", f"{target.place}/demo@by-hand")
    door.remove("demo")
    assert door.image("demo") is None


def test_snapshots_stay_with_a_volume_in_the_trash(target: PoolTarget, door: CephDoor) -> None:
    door.take_snapshot("demo", FIRST)
    door.trash("demo", 0)
    (entry,) = door.observe()[0].trash
    door.restore(entry.id, "demo", NOTED)
    assert seen(door).snapshots == (Snapshot(name=FIRST),)
    door.trash("demo", 0)
    door.purge(entry.id)
    assert door.observe()[0].trash == ()


def test_settings_are_set_and_unset(ceph: CephCluster, target: PoolTarget, door: CephDoor) -> None:
    ceph.run("rbd", "config", "image", "set", f"{target.place}/demo", "rbd_cache_max_dirty", "1048576")
    door.set_settings("demo", {"rbd_qos_iops_limit": "2000", "rbd_cache_policy": "writeback"}, ())
    said = ceph.run("rbd", "config", "image", "get", f"{target.place}/demo", "rbd_qos_iops_limit")
    assert said.strip() == "2000", "as librbd sees it"
    door.set_settings("demo", {}, ("rbd_cache_policy", "rbd_cache"))
    assert seen(door).settings == {"rbd_qos_iops_limit": "2000", "rbd_cache_max_dirty": "1048576"}


@pytest.mark.parametrize(("name", "value"), [("rbd_bogus", "1"), ("rbd_cache_policy", "sometimes")])
def test_a_setting_that_librbd_does_not_know_is_refused(door: CephDoor, name: str, value: str) -> None:
    with pytest.raises(Refused, match=f"does not take {name} = {value}"):
        door.set_settings("demo", {name: value}, ())
    assert seen(door).settings == {}


HOLD = """
import sys, time, rados, rbd
conf, namespace = sys.argv[1:]
cluster = rados.Rados(rados_id="admin", conffile=conf)
cluster.connect()
ioctx = cluster.open_ioctx("rbd")
ioctx.set_namespace(namespace)
image = rbd.Image(ioctx, "demo")
image.write(b"mine", 0)
image.flush()
print("open", flush=True)
for line in sys.stdin:
    image.write(b"still", 0)
    image.flush()
    limit = next(option["value"] for option in image.config_list() if option["name"] == "rbd_qos_iops_limit")
    print("written", limit, flush=True)
"""


@contextmanager
def a_vm(ceph: CephCluster, target: PoolTarget) -> Iterator[subprocess.Popen[str]]:
    """Another client with the image open and its lock, as QEMU has it."""
    argv = [sys.executable, "-c", HOLD, str(ceph.ceph.conf), target.namespace]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        try:
            assert client.stdout.readline() == "open\n"
            yield client
        finally:
            client.kill()


def writes(client: subprocess.Popen[str], limit: int = 0) -> bool:
    """Does it, and under which limit?"""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("on\n")
    client.stdin.flush()
    return client.stdout.readline() == f"written {limit}\n"


def test_a_vm_that_runs_takes_part(ceph: CephCluster, target: PoolTarget, door: CephDoor) -> None:
    with a_vm(ceph, target) as client:
        door.take_snapshot("demo", FIRST)
        door.set_settings("demo", {"rbd_qos_iops_limit": "2000"}, ())
        assert writes(client, 2000), "at once"
        door.take_snapshot("demo", SECOND)
        door.set_settings("demo", {}, ("rbd_qos_iops_limit",))
        door.delete_snapshots("demo", [FIRST])
        assert writes(client)
    assert [snapshot.name for snapshot in door.snapshots("demo")] == [SECOND]


def test_a_vm_that_hangs_is_not_cut_off_from_its_disk(ceph: CephCluster, target: PoolTarget, door: CephDoor) -> None:
    """librbd would take the lock from it and have it blocklisted; the pool is observed as ever meanwhile."""
    with a_vm(ceph, target) as client:
        client.send_signal(signal.SIGSTOP)
        for change in (
            lambda: door.take_snapshot("demo", FIRST),
            lambda: door.set_settings("demo", {"rbd_qos_iops_limit": "2000"}, ()),
        ):
            with pytest.raises(Transient, match="does not answer"):
                change()
        assert seen(door).snapshots == ()
        client.send_signal(signal.SIGCONT)
        assert writes(client), "its disk is as it was"
        door.take_snapshot("demo", FIRST)
        assert writes(client)


def test_who_takes_a_snapshot_is_no_user(door: CephDoor, target: PoolTarget, ceph: CephCluster) -> None:
    """The VM of the volume starts meanwhile; a client beside this process is still told."""
    import rbd

    users: list[tuple[str, ...]] = []
    door._on_image("demo", lambda *_: users.append(door.users("demo")))
    with ceph.ioctx(target) as ioctx, rbd.Image(ioctx, "demo"):
        door._on_image("demo", lambda *_: users.append(door.users("demo")))
    assert (users[0], len(users[1])) == ((), 1)


@pytest.mark.parametrize("ours", [False, True])
def test_a_lock_whose_owner_is_silent_for_long(
    ceph: CephCluster, target: PoolTarget, door: CephDoor, ours: bool
) -> None:
    """It is not broken for a snapshot, unless a reconciler left it. After 30 s its watch ends; here at once."""
    argv = [sys.executable, "-c", DIE, str(ceph.ceph.conf), target.namespace, str(int(ours))]
    died = subprocess.run(argv, check=False, stdout=subprocess.PIPE, text=True)
    assert died.returncode == -signal.SIGKILL
    ceph.run("ceph", "osd", "blocklist", "add", died.stdout.strip())
    within(10, lambda: door.users("demo") == ())
    if ours:
        door.take_snapshot("demo", FIRST)
    else:
        with pytest.raises(Transient, match="is locked by"):
            door.take_snapshot("demo", FIRST)
        door.grow("demo", 2 * MIB)  # somebody asked for that
        door.take_snapshot("demo", FIRST)
    assert len(door.snapshots("demo")) == 1


DIE = """
import os, signal, sys, rados, rbd
from cell_reconciler.drivers import Writes
from cell_reconciler.drivers.ceph_snapshots import ask_owners
conf, namespace, ours = sys.argv[1:]
cluster = rados.Rados(rados_id="admin", conffile=conf)
cluster.connect()
ioctx = cluster.open_ioctx("rbd")
ioctx.set_namespace(namespace)
if int(ours):
    ask_owners(ioctx, "demo", "demo", f"client.{cluster.get_instance_id()}", Writes(), rados, rbd, upkeep=True)
image = rbd.Image(ioctx, "demo")
image.write(b"mine", 0)
image.flush()
((_, _, address),) = rbd.Image(ioctx, "demo", read_only=True).list_lockers()["lockers"]
print(address, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def within(seconds: float, what: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.1)
