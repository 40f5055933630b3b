"""What every storage backend promises of a volume that begins with data, on a directory and on a real Ceph."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cell_reconciler.drivers import Writes, ceph, directory, pool_progress, volume_import
from cell_reconciler.drivers.ceph_creation import temporary
from cell_reconciler.drivers.pools import PoolDoor, open_pool
from cell_reconciler.errors import CellError, Refused, StepFailed, Transient, Unreachable
from cell_reconciler.model.storage import Clone, Import
from tests.ceph_cluster import ceph_fixture  # noqa: F401  # a fixture
from tests.contract.test_pools import (
    MIB,
    Backend,
    DirectoryBackend,
    RbdBackend,
    backend_fixture,  # noqa: F401  # a fixture
    door_fixture,  # noqa: F401  # a fixture
    mark,
    writes_fixture,  # noqa: F401  # a fixture
)

SIZE = 12 * MIB
# Data, a hole, data that end within a block: 9 MiB and 700 bytes
CONTENT = random.Random(4).randbytes(MIB + 77) + bytes(8 * MIB - 77) + random.Random(5).randbytes(700)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "golden.raw"
    path.write_bytes(CONTENT)
    return path


def imported(file: Path) -> Import:
    return Import(path=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def left(backend: Backend) -> list[str]:
    """All names in the pool, temporary ones too."""
    if isinstance(backend, DirectoryBackend):
        found = [p.name for p in (*backend.path.glob("*.raw"), *backend.path.glob(".cell/*.tmp"))]
        return sorted(name.removesuffix(".raw") for name in found)
    assert isinstance(backend, RbdBackend)
    import rbd

    with backend.cluster.ioctx(backend.target) as ioctx:
        return sorted(entry["name"] for entry in rbd.RBD().list2(ioctx))


def used(backend: Backend, name: str) -> int:
    """Bytes that the volume takes itself."""
    if isinstance(backend, DirectoryBackend):
        return backend.file(name).stat().st_blocks * 512
    assert isinstance(backend, RbdBackend)
    import rbd

    found = 0

    def count(_: int, length: int, exists: bool) -> None:
        nonlocal found
        found += length if exists else 0

    with backend.cluster.ioctx(backend.target) as ioctx, rbd.Image(ioctx, name, read_only=True) as image:
        image.diff_iterate(0, image.size(), None, count, include_parent=False)
    return found


def golden(backend: Backend, door: PoolDoor, file: Path, *, flatten: bool = False) -> Clone:
    """A volume with the content, ready to be cloned."""
    door.create("golden", SIZE, mark("golden"), origin=imported(file))
    if isinstance(backend, DirectoryBackend):
        return Clone(image="golden")
    assert isinstance(backend, RbdBackend)
    backend.cluster.run("rbd", "snap", "create", f"{backend.target.place}/golden@one")
    backend.cluster.run("rbd", "snap", "protect", f"{backend.target.place}/golden@one")
    return Clone(image="golden", snapshot="one", flatten=flatten)


def is_made(backend: Backend, door: PoolDoor, size: int = SIZE) -> None:
    image = door.image("demo")
    assert image is not None
    assert (image.size, image.mark, image.detail["host"]) == (size, mark("demo").to_text(), "h1")
    assert backend.content("demo") == CONTENT + bytes(size - len(CONTENT))


def create(door: PoolDoor, origin: Clone | Import, size: int = SIZE) -> None:
    door.create("demo", size, mark("demo"), {"host": "h1"}, origin=origin)


def test_a_file_is_imported_sparse(backend: Backend, door: PoolDoor, file: Path, writes: Writes) -> None:
    create(door, imported(file))
    is_made(backend, door)
    assert used(backend, "demo") < 3 * MIB
    before = writes.total
    file.unlink()
    create(door, Import(path=str(file), sha256="0" * 64))
    assert writes.total == before, "the source counts when the volume is made, and never again"


def test_a_file_of_a_web_server_is_imported(backend: Backend, door: PoolDoor, file: Path) -> None:
    with server() as url:
        create(door, Import(url=f"{url}/whole", sha256=imported(file).sha256))
    is_made(backend, door)


def test_a_clone_stands_on_its_own(backend: Backend, door: PoolDoor, file: Path) -> None:
    create(door, golden(backend, door, file), SIZE + MIB)
    is_made(backend, door, SIZE + MIB)
    assert used(backend, "demo") < (3 * MIB if isinstance(backend, DirectoryBackend) else 1)
    backend.write("demo", b"changed")
    assert backend.content("golden").startswith(CONTENT[:7])
    assert door.image("golden").mark == mark("golden").to_text()  # type: ignore[union-attr]


@pytest.mark.parametrize("what", ["larger", "another checksum", "absent", "qcow2", "no file", "cut off", "no server"])
def test_nothing_is_left_of_a_source_that_is_no_good(backend: Backend, door: PoolDoor, file: Path, what: str) -> None:
    origin, expected, size = imported(file), Refused, SIZE
    if what == "larger":
        size = 9 * MIB
    elif what == "another checksum":
        file.write_bytes(CONTENT[:-1] + b"?")
    elif what == "absent":
        origin, expected = Import(path=f"{file}.none", sha256=origin.sha256), StepFailed  # type: ignore[assignment]
    elif what == "qcow2":
        file.write_bytes(b"QFI\xfb" + bytes(MIB))
        origin = imported(file)
    elif what == "no file":
        os.mkfifo(f"{file}.fifo")
        origin = Import(path=f"{file}.fifo", sha256=origin.sha256)
    elif what in ("cut off", "no server"):
        expected = StepFailed  # type: ignore[assignment]
    with server() as url:
        if what == "cut off":
            origin = Import(url=f"{url}/cut", sha256=origin.sha256)
        if what == "no server":
            origin = Import(url="http://127.0.0.1:9/", sha256=origin.sha256)
        with pytest.raises(expected):
            create(door, origin, size)
    assert left(backend) == []


def test_nothing_is_left_of_a_clone_that_cannot_be(backend: Backend, door: PoolDoor, file: Path) -> None:
    with pytest.raises(StepFailed, match="does not exist"):
        create(door, Clone(image="none", snapshot="one" if isinstance(backend, RbdBackend) else ""))
    origin = golden(backend, door, file)
    with pytest.raises(Refused, match="only"):
        create(door, origin, 8 * MIB)
    assert left(backend) == ["golden"]


def test_a_foreign_image_is_not_filled(backend: Backend, door: PoolDoor, file: Path) -> None:
    backend.foreign("demo", SIZE)
    backend.write("demo", b"precious")
    with pytest.raises(Refused, match="not ours"):
        create(door, imported(file))
    assert backend.content("demo").startswith(b"precious")
    assert left(backend) == ["demo"]


def test_others_use_the_pool_meanwhile(backend: Backend, door: PoolDoor, file: Path) -> None:
    """The pool is not locked, the volume is; and a name that is taken meanwhile is not replaced."""
    errors: list[BaseException | None] = []

    def work(url: str) -> None:
        try:
            create(door, Import(url=f"{url}/slow", sha256=imported(file).sha256))
        except CellError as error:
            errors.append(error)

    with server() as url:
        thread = threading.Thread(target=work, args=(url,))
        thread.start()
        assert Handler.begun.wait(20)
        door.create("other", MIB, mark("other"))
        door.remove("other")
        assert [i.name for i in door.observe()[1]] == []
        second = open_pool(backend.target, Writes())
        with pytest.raises(Transient, match="being made"):
            second.create("demo", MIB, mark("demo"))
        second.close()
        backend.foreign("demo", MIB)
        backend.write("demo", b"precious")
        Handler.go.set()
        thread.join(30)
    assert [type(error) for error in errors] == [Refused]
    assert backend.content("demo").startswith(b"precious")
    assert left(backend) == ["demo"]


def test_a_source_that_hangs_is_not_a_pool_that_hangs(
    backend: Backend, door: PoolDoor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file on an NFS server that is gone, say. What hangs is refused for a while, the rest goes on."""
    go = threading.Event()

    def hanging(*args: object) -> None:
        go.wait(60)
        raise OSError("gone")

    monkeypatch.setattr(directory, "SILENCE", 1.0)
    monkeypatch.setattr(ceph, "SILENCE", 1.0)
    monkeypatch.setattr(volume_import, "_file", hanging)
    for reason in ("no answer within 1 s", "has not come back"):
        with pytest.raises(Unreachable, match=reason):
            create(door, imported(file))
    assert door.observe()[0].exists
    door.create("other", MIB, mark("other"))
    go.set()
    monkeypatch.undo()
    patiently(lambda: create(door, imported(file)))
    is_made(backend, door)


def test_killed_while_it_is_filled(backend: Backend, door: PoolDoor, file: Path) -> None:
    """SIGKILL in the middle of the data: no volume of the name, and the next run makes it whole."""
    with server() as url:
        child = os.fork()
        if child == 0:
            slow = open_pool(backend.target, Writes())
            create(slow, Import(url=f"{url}/slow", sha256="0" * 64))
            os._exit(0)
        assert Handler.begun.wait(30)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        Handler.go.set()
    assert door.image("demo") is None
    assert door.observe()[1] == ()
    assert len(left(backend)) == 1
    patiently(lambda: create(door, imported(file)))
    is_made(backend, door)
    assert left(backend) == ["demo"]


def test_progress_is_told(backend: Backend, door: PoolDoor, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_progress, "EVERY", 0.0)
    told: list[str] = []
    door.create("demo", SIZE, mark("demo"), origin=imported(file), tell=told.append)
    assert told[-1] == "volume demo: 9 of 9 MiB (100 %)"
    assert told[0] == "volume demo: 4 of 9 MiB (44 %)"


def test_a_volume_that_somebody_writes_to_is_not_copied(tmp_path: Path, file: Path) -> None:
    place = DirectoryBackend(tmp_path)
    pool = open_pool(place.target, Writes())
    origin = golden(place, pool, file)
    with place.held("golden"), pytest.raises(Transient, match="open in QEMU"):
        create(pool, origin)
    assert left(place) == ["golden"]
    create(pool, origin)
    is_made(place, pool)


@pytest.fixture
def glue(request: pytest.FixtureRequest) -> Iterator[tuple[RbdBackend, PoolDoor]]:
    place = RbdBackend(request.getfixturevalue("ceph"))
    pool = open_pool(place.target, Writes())
    yield place, pool
    pool.close()


@pytest.mark.ceph
def test_flattened_it_does_not_need_its_parent(glue: tuple[RbdBackend, PoolDoor], file: Path) -> None:
    place, pool = glue
    create(pool, golden(place, pool, file, flatten=True))
    is_made(place, pool)
    place.cluster.run("rbd", "snap", "unprotect", f"{place.target.place}/golden@one")
    place.cluster.run("rbd", "snap", "purge", f"{place.target.place}/golden")
    pool.remove("golden")
    is_made(place, pool)


@pytest.mark.ceph
def test_a_clone_that_was_killed_holds_no_snapshot(glue: tuple[RbdBackend, PoolDoor], file: Path) -> None:
    import rbd

    place, pool = glue
    origin = golden(place, pool, file)
    with place.cluster.ioctx(place.target) as ioctx:
        rbd.RBD().clone(ioctx, "golden", "one", ioctx, temporary("demo"))
    assert [i.name for i in pool.observe()[1]] == ["golden"]
    create(pool, imported(file))
    is_made(place, pool)
    assert left(place) == ["demo", "golden"]
    place.cluster.run("rbd", "snap", "unprotect", f"{place.target.place}/{origin.image}@one")


@pytest.mark.ceph
def test_an_unprotected_snapshot_is_refused_with_the_remedy(glue: tuple[RbdBackend, PoolDoor], file: Path) -> None:
    """The clones of this cluster are of version 1, as those of every cluster that still admits old clients."""
    place, pool = glue
    origin = golden(place, pool, file)
    place.cluster.run("rbd", "snap", "unprotect", f"{place.target.place}/golden@one")
    with pytest.raises(Refused, match="not protected") as caught:
        create(pool, origin)
    assert "rbd snap protect" in caught.value.advice
    assert left(place) == ["golden"]


@pytest.mark.ceph
def test_an_outage_while_it_is_filled(glue: tuple[RbdBackend, PoolDoor], file: Path) -> None:
    """Half of the data are there when the OSD freezes: an error in time, no volume; afterwards it is made whole."""
    place, pool = glue
    with server() as url, ThreadPoolExecutor(1) as executor:
        making = executor.submit(create, pool, Import(url=f"{url}/slow", sha256=imported(file).sha256))
        assert Handler.begun.wait(20)
        place.cluster.freeze("osd")
        try:
            Handler.go.set()
            assert isinstance(making.exception(timeout=90), Unreachable)
        finally:
            place.cluster.thaw("osd")
    patiently(lambda: create(pool, imported(file)))
    is_made(place, pool)
    assert left(place) == ["demo"]


def patiently(work: Callable[[], None]) -> None:
    """Ceph knows after 30 s that a client has died."""
    for _ in range(60):
        try:
            return work()
        except (Transient, Unreachable):
            threading.Event().wait(1)
    raise AssertionError("the leftover never went")


class Handler(BaseHTTPRequestHandler):
    """/whole sends all, /cut only a part, /slow a part and the rest when ``go`` is set."""

    begun = threading.Event()
    go = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: 5 * MIB] if self.path != "/whole" else CONTENT)
        if self.path == "/slow":
            self.begun.set()
            self.go.wait(60)
            self.wfile.write(CONTENT[5 * MIB :])

    def log_message(self, *args: object) -> None:
        """Silent."""


@contextmanager
def server() -> Iterator[str]:
    Handler.begun.clear()
    Handler.go.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}"
        finally:
            Handler.go.set()
            httpd.shutdown()
            thread.join()
