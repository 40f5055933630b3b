"""What every storage backend promises (``drivers.pools.PoolDoor``), on a directory and on a real Ceph."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cell_reconciler.drivers import Doors, Writes
from cell_reconciler.drivers.pools import PoolDoor, open_pool
from cell_reconciler.errors import Refused, StepFailed, Transient
from cell_reconciler.kinds.storage_names import LONGEST
from cell_reconciler.kinds.volume.actions import Create, Grow
from cell_reconciler.kinds.volume.room import Room
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget
from tests.ceph_cluster import CephCluster, ceph_fixture  # noqa: F401  # a fixture

MIB = 2**20


def mark(name: str, digest: str = "0" * 16) -> Mark:
    return Mark(Key("Volume", name), digest)


class Backend(Protocol):
    """What the tests do behind the door's back, as an administrator would."""

    target: PoolTarget
    absent: PoolTarget  # a pool that does not exist

    def foreign(self, name: str, size: int) -> None:
        """Make an image without asking the door."""

    def content(self, name: str) -> bytes: ...

    def write(self, name: str, data: bytes) -> None: ...

    def copy(self, name: str, new: str) -> None:
        """With everything that the backend's own tool copies."""

    def rename(self, name: str, new: str) -> None: ...

    def replace(self, name: str) -> None:
        """Delete the image and make another of that name."""

    def trashed(self) -> list[str]: ...

    def discard(self, name: str) -> None:
        """Move it to the trash without asking the door."""

    def held(self, name: str) -> AbstractContextManager[None]:
        """Somebody has the image open."""


class DirectoryBackend:
    def __init__(self, path: Path) -> None:
        self.path = path / "pool"
        self.path.mkdir()
        self.target = PoolTarget(name="local", backend="directory", path=str(self.path))
        self.absent = PoolTarget(name="local", backend="directory", path=str(path / "none"))

    def file(self, name: str) -> Path:
        return self.path / f"{name}.raw"

    def foreign(self, name: str, size: int) -> None:
        with self.file(name).open("xb") as file:
            file.truncate(size)

    def content(self, name: str) -> bytes:
        return self.file(name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        with self.file(name).open("r+b") as file:
            file.write(data)

    def copy(self, name: str, new: str) -> None:
        subprocess.run(["cp", "--archive", self.file(name), self.file(new)], check=True)

    def rename(self, name: str, new: str) -> None:
        self.file(name).rename(self.file(new))

    def replace(self, name: str) -> None:
        self.file(name).unlink()
        self.foreign(name, MIB)

    def trashed(self) -> list[str]:
        return sorted(p.name for p in (self.path / ".cell/trash").glob("*.raw"))

    def discard(self, name: str) -> None:
        self.file(name).rename(self.path / f".cell/trash/{name}.1.raw")
        (self.path / f".cell/{name}.json").rename(self.path / f".cell/trash/{name}.1.json")

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        argv = ["qemu-io", "-f", "raw", str(self.file(name))]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as qemu:
            assert qemu.stdin is not None
            assert qemu.stdout is not None
            qemu.stdin.write(b"length\n")
            qemu.stdin.flush()
            assert b"MiB" in qemu.stdout.readline()  # it has the file open now
            yield
            qemu.stdin.close()


class RbdBackend:
    def __init__(self, cluster: CephCluster) -> None:
        self.cluster = cluster
        self.target = cluster.new_place()
        self.absent = cluster.target("no-such-pool")

    def foreign(self, name: str, size: int) -> None:
        import rbd

        with self.cluster.ioctx(self.target) as ioctx:
            rbd.RBD().create(ioctx, name, size)

    def content(self, name: str) -> bytes:
        import rbd

        with self.cluster.ioctx(self.target) as ioctx, rbd.Image(ioctx, name, read_only=True) as image:
            return bytes(image.read(0, image.size()))

    def write(self, name: str, data: bytes) -> None:
        import rbd

        with self.cluster.ioctx(self.target) as ioctx, rbd.Image(ioctx, name) as image:
            image.write(data, 0)

    def copy(self, name: str, new: str) -> None:
        self.cluster.run("rbd", "deep", "cp", f"{self.target.place}/{name}", f"{self.target.place}/{new}")

    def rename(self, name: str, new: str) -> None:
        self.cluster.run("rbd", "mv", f"{self.target.place}/{name}", f"{self.target.place}/{new}")

    def replace(self, name: str) -> None:
        self.cluster.run("rbd", "rm", f"{self.target.place}/{name}")
        self.foreign(name, MIB)

    def trashed(self) -> list[str]:
        import rbd

        with self.cluster.ioctx(self.target) as ioctx:
            return sorted(entry["name"] for entry in rbd.RBD().trash_list(ioctx))

    def discard(self, name: str) -> None:
        self.cluster.run("rbd", "trash", "mv", f"{self.target.place}/{name}")

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        import rbd

        with self.cluster.ioctx(self.target) as ioctx, rbd.Image(ioctx, name):
            yield


@pytest.fixture(name="backend", params=["directory", pytest.param("rbd", marks=pytest.mark.ceph)])
def backend_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "directory":
        return DirectoryBackend(tmp_path)
    return RbdBackend(request.getfixturevalue("ceph"))


@pytest.fixture(name="writes")
def writes_fixture() -> Writes:
    return Writes()


@pytest.fixture(name="door")
def door_fixture(backend: Backend, writes: Writes) -> Iterator[PoolDoor]:
    opened = open_pool(backend.target, writes)
    yield opened
    opened.close()


def test_an_empty_pool_and_an_absent_one(backend: Backend, door: PoolDoor, writes: Writes) -> None:
    pool, images = door.observe()
    assert (pool.name, pool.target, pool.exists, images) == (backend.target.name, backend.target.place, True, ())
    absent = open_pool(backend.absent, writes)
    pool, images = absent.observe()
    assert (pool.exists, images) == (False, ())
    assert absent.image("any") is None
    absent.close()


def test_created_with_size_mark_and_notes(door: PoolDoor) -> None:
    door.create("demo", 3 * MIB, mark("demo"), {"reclaimPolicy": "Trash", "host": "cell-01"})
    image = door.image("demo")
    assert image is not None
    assert (image.size, image.mark) == (3 * MIB, mark("demo").to_text())
    assert image.detail.items() >= {"reclaimPolicy": "Trash", "host": "cell-01"}.items()
    assert door.observe()[1] == (image,)


def test_create_again_keeps_the_data_and_writes_nothing(backend: Backend, door: PoolDoor, writes: Writes) -> None:
    door.create("demo", MIB, mark("demo"))
    backend.write("demo", b"precious")
    before = writes.total
    door.create("demo", MIB, mark("demo", "f" * 16))
    assert backend.content("demo").startswith(b"precious")
    assert writes.total == before


def test_reading_writes_nothing(backend: Backend, door: PoolDoor, writes: Writes) -> None:
    backend.foreign("theirs", MIB)
    door.observe()
    door.image("theirs")
    door.image("none")
    assert writes.total == 0


def test_a_foreign_image_is_seen_and_never_touched(backend: Backend, door: PoolDoor) -> None:
    backend.foreign("theirs", MIB)
    backend.write("theirs", b"precious")
    image = door.image("theirs")
    assert image is not None
    assert image.mark is None
    for attempt in (
        lambda: door.create("theirs", MIB, mark("theirs")),
        lambda: door.remove("theirs"),
        lambda: door.trash("theirs"),
    ):
        with pytest.raises(Refused, match="not ours"):
            attempt()
    assert door.image("theirs") == image
    assert backend.content("theirs").startswith(b"precious")
    assert len(door.observe()[1]) == 1  # and no half-made image beside it


def test_adoption_and_a_new_mark(backend: Backend, door: PoolDoor) -> None:
    backend.foreign("theirs", MIB)
    door.set_mark("theirs", Mark(Key("Volume", "theirs"), "1" * 16, adopted=True), {"reclaimPolicy": "Delete"})
    door.set_mark("theirs", Mark(Key("Volume", "theirs"), "2" * 16, adopted=True))
    image = door.image("theirs")
    assert image is not None
    assert image.mark == "cell/v1;Volume/theirs;" + "2" * 16 + ";adopted"
    assert image.detail["reclaimPolicy"] == "Delete"


@pytest.mark.parametrize("how", ["copy", "rename"])
def test_the_mark_does_not_travel_with_the_data(backend: Backend, door: PoolDoor, how: str) -> None:
    door.create("demo", MIB, mark("demo"))
    getattr(backend, how)("demo", "other")
    other = door.image("other")
    assert other is not None
    with pytest.raises(Refused, match="not ours"):
        door.remove("other")
    assert door.image("other") == other


def test_the_mark_is_about_the_object_and_not_the_name(backend: Backend, door: PoolDoor) -> None:
    door.create("demo", MIB, mark("demo"))
    backend.replace("demo")
    image = door.image("demo")
    assert image is not None
    assert image.mark is None


def test_grow_keeps_the_data_and_never_shrinks(backend: Backend, door: PoolDoor, writes: Writes) -> None:
    door.create("demo", MIB, mark("demo"))
    backend.write("demo", b"precious")
    door.grow("demo", 5 * MIB)
    before = writes.total
    door.grow("demo", 5 * MIB)
    with pytest.raises(Refused, match="never shrinks"):
        door.grow("demo", 4 * MIB)
    assert writes.total == before
    assert len(backend.content("demo")) == 5 * MIB
    assert backend.content("demo").startswith(b"precious")


def test_what_is_absent_cannot_be_changed(door: PoolDoor) -> None:
    with pytest.raises(StepFailed):
        door.grow("none", MIB)
    with pytest.raises(StepFailed):
        door.set_mark("none", mark("none"))


def test_remove_is_idempotent(door: PoolDoor, writes: Writes) -> None:
    door.create("demo", MIB, mark("demo"))
    door.remove("demo")
    assert door.image("demo") is None
    before = writes.total
    door.remove("demo")
    door.trash("demo")
    assert writes.total == before
    door.create("demo", 2 * MIB, mark("demo"))
    assert door.observe()[1][0].size == 2 * MIB


def test_trash_keeps_the_data_of_each_time(backend: Backend, door: PoolDoor) -> None:
    for _ in range(2):
        door.create("demo", MIB, mark("demo"))
        door.trash("demo")
    assert door.observe()[1] == ()
    assert len(backend.trashed()) == 2


def test_who_has_it_open(backend: Backend, door: PoolDoor, writes: Writes) -> None:
    door.create("demo", MIB, mark("demo"))
    before = writes.total
    assert door.users("demo") == ()
    with backend.held("demo"):
        assert len(door.users("demo")) == 1
        assert len(door.users("demo")) == 1, "to look is not to use"
    assert door.users("demo") == ()
    assert door.users("none") == ()
    assert writes.total == before
    absent = open_pool(backend.absent, writes)
    assert absent.users("demo") == ()
    absent.close()


def test_what_is_open_stays(backend: Backend, door: PoolDoor) -> None:
    door.create("demo", MIB, mark("demo"))
    with backend.held("demo"):
        for attempt in (door.remove, door.trash):
            with pytest.raises(Transient, match="open"):
                attempt("demo")
        assert door.image("demo") is not None
    door.remove("demo")
    assert door.image("demo") is None


def test_what_is_open_is_not_grown_behind_its_back(backend: Backend, door: PoolDoor) -> None:
    """By another host: the QEMU that has it open would not learn of it."""
    door.create("demo", MIB, mark("demo"))
    doors = Doors()
    grow = Grow(target=backend.target, name="demo", size=2 * MIB, room=Room("h1", 1))
    with backend.held("demo"), pytest.raises(Transient, match="grown by who has it open"):
        grow.do(doors)
    image = door.image("demo")
    assert image is not None
    assert image.size == MIB
    grow.do(doors)
    assert grow.done(doors)
    doors.close()


def test_there_must_still_be_room_when_a_volume_is_made_or_grown(backend: Backend, door: PoolDoor) -> None:
    """What was planned is minutes old, and somebody else makes images too."""
    backend.foreign("other", MIB)
    capacity = door.observe()[0].capacity
    room = Room("h1", 0 if capacity is None else (4 * MIB + 0.5) / capacity)
    one, two = (
        Create(target=backend.target, name=name, size=2 * MIB, mark=mark(name), notes={}, room=room)
        for name in ("one", "two")
    )
    doors = Doors()
    one.do(doors)
    if capacity is None:  # a Ceph without a manager: nothing is known, and nothing is claimed
        two.do(doors)
    else:
        with pytest.raises(Transient, match="two needs 2MiB more; 2 volumes of local have 3MiB of the 4MiB") as refused:
            two.do(doors)
        assert "overcommit.disk" in refused.value.advice
        assert door.image("two") is None
        Grow(target=backend.target, name="one", size=3 * MIB, room=room).do(doors)
        with pytest.raises(Transient, match="one needs 1MiB more"):
            Grow(target=backend.target, name="one", size=4 * MIB, room=room).do(doors)
    doors.close()


NAMES = st.from_regex(rf"\A[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{LONGEST - 1}}}\Z")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, sectors=st.integers(1, 2**31))
def test_any_name_and_size_comes_back(door: PoolDoor, name: str, sectors: int) -> None:
    door.create(name, sectors * 512, mark(name))
    try:
        image = door.image(name)
        assert image is not None
        assert (image.name, image.size, image.mark) == (name, sectors * 512, mark(name).to_text())
        assert image in door.observe()[1]
    finally:
        door.remove(name)
    assert door.observe()[1] == ()


def test_side_by_side(door: PoolDoor) -> None:
    """Several workers make volumes at once; some want the same one."""
    from concurrent.futures import ThreadPoolExecutor

    names = [f"disk-{n % 6}" for n in range(12)]
    with ThreadPoolExecutor(4) as executor:
        results = [executor.submit(door.create, name, MIB, mark(name)) for name in names]
    assert [result.exception() for result in results] == [None] * 12
    assert sorted(i.name for i in door.observe()[1]) == sorted(set(names))
