"""What a pool may promise: sizes of its volumes against its capacity."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cell_reconciler.drivers.promised import Promised
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Change
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Image, Pool
from tests.kinds.storage import document, image, world

KIND = kind("Volume")
GIB = 2**30


def _volume(name: str, size: str) -> Document:
    return document(f"Volume/{name}", {"pool": "local", "size": size})


def _on(*docs: Document, gib: int | None = 10, images: tuple[Image, ...] = (), disk: float = 1) -> World:
    pool = Pool(
        name="local", backend="directory", target="/images", exists=True, capacity=None if gib is None else gib * GIB
    )
    host = document("Host/h1", {"overcommit": {"disk": disk}})
    return world(host, *docs, images=images, pools={"local": pool})


def _plan(doc: Document, where: World) -> Change:
    return KIND.plan(doc, KIND.observe(doc.key.name, where), where)


def test_without_permission_a_pool_promises_what_it_has() -> None:
    one, two = _volume("one", "8GiB"), _volume("two", "3GiB")
    where = _on(one, two)
    assert _plan(one, where).refused == ()
    [refusal] = _plan(two, where).refused
    assert refusal.reason == "NoRoom"
    assert refusal.message == (
        "volume two needs 3GiB more; 1 volumes of local have 8GiB of the 10GiB that its 10GiB may promise (1 times)"
    )
    assert refusal.advice.endswith("allow it in Host/h1: overcommit.disk 1.1")
    assert _plan(two, _on(one, two, disk=1.1)).refused == ()


def test_everybodys_images_count_and_growing_takes_room_too() -> None:
    foreign = Image(pool="local", name="foreign", size=6 * GIB)
    grown = document("Volume/demo", {"pool": "local", "size": "5GiB"})
    where = _on(grown, images=(foreign, image(4 * GIB)))
    assert [r.reason for r in _plan(grown, where).refused] == ["NoRoom"]
    assert _plan(grown, _on(grown, images=(foreign, image(4 * GIB)), disk=1.1)).refused == ()


def test_what_is_there_is_left_and_what_is_not_known_is_not_claimed() -> None:
    there = document("Volume/demo", {"pool": "local", "size": "40GiB"})
    assert _plan(there, _on(there, images=(image(40 * GIB),))).quiet
    assert _plan(there, _on(there, gib=None)).refused == ()


def test_a_smaller_one_may_fit_after_one_that_does_not() -> None:
    docs = [_volume("a", "6GiB"), _volume("b", "6GiB"), _volume("c", "4GiB")]
    where = _on(*docs)
    assert [bool(_plan(doc, where).refused) for doc in docs] == [False, True, False]


def test_two_that_come_at_the_same_time_do_not_find_the_same_room() -> None:
    listings = []

    def observe() -> tuple[Pool, tuple[Image, ...]]:
        listings.append(1)
        return Pool(name="local", backend="directory", target="/images", exists=True, capacity=10), ()

    promised, seen = Promised(observe), []

    def check(sizes: Mapping[str, int], capacity: int | None) -> None:
        seen.append((dict(sizes), capacity))

    with promised.entered("a", 6, check), promised.entered("b", 3, check):
        pass
    with pytest.raises(OSError, match="no"), promised.entered("c", 1, check):
        raise OSError("no")
    with promised.entered("a", 7, check):
        pass
    assert seen == [({}, 10), ({"a": 6}, 10), ({"a": 6, "b": 3}, 10), ({"a": 6, "b": 3}, 10)]
    assert len(listings) == 1, "not a listing of the pool for each"
