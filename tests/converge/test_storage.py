"""Pools and volumes through the whole way: observe, plan, execute, and again nothing to do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import Journal
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.observe import observe
from cell_reconciler.kinds.world import pool_targets
from cell_reconciler.model.change import Plan, Result
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.live import Live, Source
from cell_reconciler.planning.planner import make_plan
from cell_reconciler.planning.policy import Policy
from tests.ceph_cluster import CephCluster, ceph_fixture  # noqa: F401  # a fixture
from tests.kinds.storage import document


class Host:
    """One host with its doors; ``say`` is what `cellctl apply` does, without libvirt and netlink."""

    def __init__(self, journal: Path, pool: Document) -> None:
        self.doors = Doors()
        self.journal = Journal(journal)
        self.pool = pool

    def live(self) -> Live:
        pools = pool_targets({self.pool.key: self.pool})
        return observe(self.doors, "h1", pools, {Source.FILES, Source.CEPH})

    def plan(self, *documents: Document, prune: bool = True) -> Plan:
        loaded = Loaded(documents={doc.key: doc for doc in (self.pool, *documents)})
        return make_plan("h1", loaded, self.live(), Policy(prune=prune))

    def apply(self, *documents: Document) -> list[str]:
        plan = self.plan(*documents)
        with self.journal.open(plan) as journal:
            outcomes = execute(plan, self.doors, journal)
        assert all(outcome.result == Result.DONE for outcome in outcomes), outcomes
        assert self.plan(*documents).empty, self.plan(*documents).changes
        before = self.doors.writes.total
        self.plan(*documents)
        assert self.doors.writes.total == before
        return [outcome.op for outcome in outcomes]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    pool = document("StoragePool/local", {"directory": {"path": str(tmp_path / "images" / "cell")}})
    one = Host(tmp_path / "state", pool)
    yield one
    one.doors.close()


def volume(name: str, size: str = "1MiB", policy: str = "Retain") -> Document:
    return document(f"Volume/{name}", {"pool": "local", "size": size, "reclaimPolicy": policy})


def test_the_life_of_volumes(host: Host) -> None:
    a, b, c = volume("a"), volume("b", policy="Trash"), volume("c", policy="Delete")
    ops = host.apply(a, b, c)
    assert ops[0] == "storagepool.create"
    assert ops[1:] == ["volume.create"] * 3
    assert host.apply(volume("a", "4MiB"), b, c) == ["volume.mark", "volume.grow"]
    assert host.live().images["local/a"].size == 4 * 2**20
    assert sorted(host.apply()) == ["volume.delete", "volume.trash"]
    assert list(host.live().images) == ["local/a"]  # retained, and no difference for ever
    assert host.apply(volume("a", "4MiB")) == []
    assert host.apply(volume("a", "4MiB", policy="Delete")) == ["volume.mark"]
    assert host.apply() == ["volume.delete"]


def sourced(name: str, source: dict[str, object]) -> Document:
    return document(f"Volume/{name}", {"pool": "local", "size": "1MiB", "source": source})


def test_volumes_that_begin_with_data(host: Host, tmp_path: Path) -> None:
    """An import and a clone of it in one plan; what the source says afterwards is no difference."""
    file = tmp_path / "debian.raw"
    file.write_bytes(b"debian" * 1000)
    checksum = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    clone = sourced("a-clone", {"clone": {"volume": "golden"}})  # by name it comes first
    golden = sourced("golden", {"file": {"path": str(file), "checksum": checksum}})
    assert host.apply(clone, golden) == ["storagepool.create", "volume.create", "volume.create"]
    for name in ("golden", "a-clone"):
        assert (tmp_path / f"images/cell/{name}.raw").read_bytes() == file.read_bytes().ljust(2**20, b"\0")
    file.unlink()
    changed = sourced("golden", {"file": {"path": "/none", "checksum": "sha256:" + "0" * 64}})
    assert host.apply(volume("a-clone"), changed) == []


def test_an_unreachable_pool_is_not_an_empty_one(host: Host, tmp_path: Path) -> None:
    host.apply(volume("a"))
    (tmp_path / "images").rename(tmp_path / "away")
    (tmp_path / "images").touch()  # no directory any more: not to be read
    plan = host.plan(volume("a"))
    assert plan.steps == ()
    assert sorted(str(key) for key in plan.unknown) == ["StoragePool/local", "Volume/a"]


def test_many_retained_volumes_do_not_close_the_gates_of_pruning(host: Host) -> None:
    kept = [volume(f"kept-{n}") for n in range(8)]
    host.apply(*kept, volume("a", policy="Delete"))
    assert host.apply() == ["volume.delete"]
    assert len(host.live().images) == 8


@pytest.mark.ceph
def test_the_life_of_volumes_in_ceph(ceph: CephCluster, tmp_path: Path) -> None:
    """Without libvirt the pool's own secret cannot be kept; its volumes can."""
    place = ceph.new_place()
    rbd = {"monitors": list(place.monitors), "pool": place.pool, "namespace": place.namespace, "user": place.user}
    pool = document("StoragePool/local", {"rbd": rbd | {"secret": {"file": place.secret_file}}})
    host = Host(tmp_path / "state", pool)
    want = {doc.key: doc for doc in (volume("a", policy="Delete"), volume("b"))}
    only = Loaded(documents={pool.key: pool} | want)
    for size in ("1MiB", "3MiB"):
        grown = {pool.key: pool, **{k: volume(k.name, size, d.spec.reclaim_policy) for k, d in want.items()}}
        only = Loaded(documents=grown)
        plan = make_plan("h1", only, host.live(), Policy())
        volumes = [step for step in plan.steps if step.key.kind == "Volume"]
        assert volumes
        for step in volumes:
            assert not step.action.done(host.doors)
            step.action.do(host.doors)
            assert step.action.done(host.doors)
    settled = make_plan("h1", only, host.live(), Policy())
    assert [str(step.key) for step in settled.steps] == ["StoragePool/local"]
    assert {name: image.size for name, image in host.live().images.items()} == {
        "local/a": 3 * 2**20,
        "local/b": 3 * 2**20,
    }
    host.doors.close()
