"""What every storage backend promises of its trash, on a directory and on a real Ceph: the way back, and no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cell_reconciler.drivers import Writes
from cell_reconciler.drivers.pools import PoolDoor
from cell_reconciler.errors import Refused
from cell_reconciler.kinds.volume.notes import restored
from cell_reconciler.model.live import Trashed
from cell_reconciler.model.quantities import Duration
from tests.ceph_cluster import ceph_fixture  # noqa: F401  # a fixture
from tests.contract.test_pools import (
    MIB,
    Backend,
    backend_fixture,  # noqa: F401  # a fixture
    door_fixture,  # noqa: F401  # a fixture
    mark,
    writes_fixture,  # noqa: F401  # a fixture
)

NOTES = {"reclaimPolicy": "Trash", "host": "h1", "trashFor": "1h"}
RETAIN = restored(NOTES)


def thrown_away(backend: Backend, door: PoolDoor, name: str = "demo", seconds: float = 3600) -> Trashed:
    """A volume with data in the trash; the entry."""
    door.create(name, MIB, mark(name), NOTES)
    backend.write(name, b"precious")
    before = door.observe()[0].trash
    door.trash(name, seconds)
    (entry,) = (entry for entry in door.observe()[0].trash if entry not in before)
    return entry


def test_what_lies_there_is_told_in_the_observation(backend: Backend, door: PoolDoor, writes: Writes) -> None:
    assert door.observe()[0].trash == ()
    entry = thrown_away(backend, door)
    assert (entry.name, entry.size, entry.mark, entry.notes) == ("demo", MIB, mark("demo").to_text(), NOTES)
    at, until = datetime.fromisoformat(entry.at), datetime.fromisoformat(entry.until)
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=30)
    assert until - at == timedelta(hours=1)
    before = writes.total
    thrown = {e.id for e in door.observe()[0].trash}
    assert writes.total == before
    thrown_away(backend, door)
    assert len({e.id for e in door.observe()[0].trash} | thrown) == 2, "each time has a place of its own"


def test_the_longest_time_that_a_document_may_say_is_kept(backend: Backend, door: PoolDoor) -> None:
    entry = thrown_away(backend, door, seconds=Duration.parse("10000d"))
    assert datetime.fromisoformat(entry.until) - datetime.fromisoformat(entry.at) == timedelta(days=10_000)


def test_restored_with_its_data_and_as_ours(backend: Backend, door: PoolDoor) -> None:
    entry = thrown_away(backend, door)
    door.restore(entry.id, "demo", RETAIN)
    image = door.image("demo")
    assert image is not None
    assert (image.size, image.mark) == (MIB, mark("demo").to_text())
    assert image.detail.items() >= RETAIN.items(), "what it was thrown away by does not count any more"
    assert "trashFor" not in image.detail
    assert backend.content("demo").startswith(b"precious")
    pool, images = door.observe()
    assert (images, pool.trash) == ((image,), ())
    door.trash("demo")  # and it can go the same way again
    assert backend.trashed()


def test_restored_under_another_name_it_is_not_ours(backend: Backend, door: PoolDoor) -> None:
    entry = thrown_away(backend, door)
    door.create("demo", 2 * MIB, mark("demo"))
    door.restore(entry.id, "demo-old", RETAIN)
    assert backend.content("demo-old").startswith(b"precious")
    with pytest.raises(Refused, match="not ours"):
        door.remove("demo-old")
    assert {image.name for image in door.observe()[1]} == {"demo", "demo-old"}


def test_never_over_another_one(backend: Backend, door: PoolDoor) -> None:
    entry = thrown_away(backend, door)
    backend.foreign("demo", MIB)
    backend.write("demo", b"new")
    before = door.observe()
    with pytest.raises(Refused, match="exists, and nothing is restored over it"):
        door.restore(entry.id, "demo", RETAIN)
    assert door.observe()[0].trash == before[0].trash
    assert backend.content("demo").startswith(b"new")


@pytest.mark.parametrize("identity", ["none", "demo.7", "../demo", "../../pool/demo", ""])
def test_only_what_lies_there(backend: Backend, door: PoolDoor, identity: str) -> None:
    thrown_away(backend, door)
    door.create("demo", MIB, mark("demo"))
    for attempt in (lambda: door.restore(identity, "new", RETAIN), lambda: door.purge(identity)):
        with pytest.raises(Refused, match="there is no"):
            attempt()
    assert [image.name for image in door.observe()[1]] == ["demo"]


def test_purged_when_its_time_is_over_and_never_before(backend: Backend, door: PoolDoor) -> None:
    entry = thrown_away(backend, door)
    with pytest.raises(Refused, match="stays in the trash"):
        door.purge(entry.id)
    assert door.observe()[0].trash == (entry,)
    over = thrown_away(backend, door, seconds=0)
    door.purge(over.id)
    assert door.observe()[0].trash == (entry,)


def test_what_others_threw_away_is_never_purged(backend: Backend, door: PoolDoor) -> None:
    entry = thrown_away(backend, door, seconds=0)
    door.restore(entry.id, "renamed", RETAIN)
    backend.discard("renamed")
    (foreign,) = door.observe()[0].trash
    with pytest.raises(Refused, match="not ours"):
        door.purge(foreign.id)
    assert door.observe()[0].trash == (foreign,)
