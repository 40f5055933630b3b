"""StoragePool, the pure part: what is checked, what is planned, what a target says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.storage_pool.actions import CreateDirectory, DeleteDirectory, DeleteSecret, KeepSecret
from cell_reconciler.kinds.storage_pool.target import secret_uuid, target
from cell_reconciler.model.change import Change, Verb
from cell_reconciler.model.condition import Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain, Live, Pool, Secret, Source
from tests.kinds.storage import GLUE, LOCAL, RBD, document, image, world

KIND = kind("StoragePool")
UUID = secret_uuid("glue")
MARK = "cell/v1;StoragePool/glue;" + "0" * 16


def plan(want: Document | None, where: World, name: str = "") -> Change:
    return KIND.plan(want, KIND.observe(want.key.name if want else name, where), where)


def secret(digest: str | None = "d1", uuid: str = UUID, usage: str = "cell glue", text: str = MARK) -> dict[str, Any]:
    return {"secrets": {usage: Secret(uuid=uuid, usage=usage, description=text, digest=digest)}}


def rules(spec: dict[str, Any], *others: Document) -> list[tuple[str, str]]:
    doc = document("StoragePool/x", spec)
    return [(p.rule, p.pointer) for p in KIND.check(doc, {o.key: o for o in (doc, *others)})]


def test_a_directory_is_made_when_absent_and_used_when_there() -> None:
    change = plan(LOCAL, world(exists=False))
    assert (change.verb, [type(step.action) for step in change.steps]) == (Verb.CREATE, [CreateDirectory])
    assert plan(LOCAL, world()).quiet


def test_a_missing_ceph_pool_is_the_administrators() -> None:
    change = plan(GLUE, world(exists=False))
    assert ([r.reason for r in change.refused], change.steps) == (["PoolMissing"], ())
    assert "ceph osd pool create vms && rbd pool init vms" in change.refused[0].advice


@pytest.mark.parametrize("held", [{}, secret("another"), secret(None)])
def test_the_secret_is_kept_in_place(held: dict[str, Any]) -> None:
    change = plan(GLUE, world(**held))
    (step,) = change.steps
    assert isinstance(step.action, KeepSecret)
    assert (step.action.usage, step.action.mark.to_text()[:24]) == ("cell glue", MARK[:24])
    assert change.fields[0].secret
    assert "d1" not in str(change.fields)


def test_the_secret_in_place_is_in_sync() -> None:
    assert plan(GLUE, world(**secret())).quiet


@pytest.mark.parametrize(
    "held",
    [
        secret(text="made by hand"),
        secret(uuid="11111111-1111-1111-1111-111111111111"),
        secret(usage="client.admin", text=""),
        secret(text=MARK.replace("glue", "other")),
    ],
)
def test_a_foreign_secret_is_refused(held: dict[str, Any]) -> None:
    change = plan(GLUE, world(**held))
    assert ([r.reason for r in change.refused], change.steps) == (["Foreign"], ())
    assert "virsh secret-undefine" in change.refused[0].advice


def test_prune_takes_the_secret_unless_a_domain_logs_in_with_it() -> None:
    live = Live(host="h1", **secret())
    where = World(host="h1", domain_type="qemu", documents={}, live=live, pools={})
    assert [name for name, _ in KIND.owned(live)] == ["glue"]
    assert [type(step.action) for step in plan(None, where, "glue").steps] == [DeleteSecret]
    used = Domain(uuid="u", name="web", state="shutoff", inactive=f"<secret type='ceph' uuid='{UUID}'/>", active=None)
    busy = msgspec.structs.replace(where, live=msgspec.structs.replace(live, domains={"web": used}))
    change = plan(None, busy, "glue")
    assert ([r.reason for r in change.refused], change.steps) == (["InUse"], ())


def test_prune_takes_only_a_directory_that_we_made_and_that_is_empty() -> None:
    mark = MARK.replace("glue", "local")
    ours = {"local": Pool(name="local", backend="directory", target="/images", exists=True, mark=mark)}
    assert [type(step.action) for step in plan(None, world(pools=ours), "local").steps] == [DeleteDirectory]
    full = plan(None, world(pools=ours, images=(image(),)), "local")
    assert ([r.reason for r in full.refused], full.steps) == (["InUse"], ())
    assert list(KIND.owned(world().live)) == []
    assert plan(None, world(), "local").quiet


@pytest.mark.parametrize(("available", "truth"), [(9, Truth.TRUE), (10, Truth.FALSE), (None, None)])
def test_near_full(available: int | None, truth: Truth | None) -> None:
    gib = 2**30
    free = None if available is None else available * gib
    pool = Pool(name="local", backend="directory", target="/images", exists=True, capacity=100 * gib, available=free)
    found = list(KIND.conditions(LOCAL, None, world(pools={"local": pool}, images=(image(),))))
    assert [c.status for c in found] == ([] if truth is None else [truth])
    assert all(f"{available}.0 GiB of 100.0 GiB free; 1 volumes of 1.0 GiB" in c.message for c in found)


def test_sources_and_scope() -> None:
    assert KIND.sources_of(LOCAL, {}) == {Source.FILES}
    assert KIND.sources_of(GLUE, {}) == {Source.CEPH, Source.LIBVIRT}
    assert KIND.scope_of(GLUE) == "glue"


def test_target() -> None:
    facts = target(GLUE)
    assert (facts.place, facts.user, facts.secret_file) == ("vms", "cell", "/etc/ceph/cell.key")
    assert facts.secret_uuid == UUID == "ae9e780a-38bc-5358-ba52-fe92ae8a8c19"
    credential = document("StoragePool/glue", {"rbd": RBD | {"secret": {"credential": "ceph"}, "namespace": "cell"}})
    assert target(credential).secret_file == "$CREDENTIALS_DIRECTORY/ceph"
    assert target(credential).place == "vms/cell"
    assert target(LOCAL).path == "/images"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"directory": {"path": "/a/b"}}, []),
        ({}, [("exactly-one", "/spec")]),
        ({"directory": {"path": "/a"}, "rbd": RBD}, [("exactly-one", "/spec")]),
        ({"directory": {"path": "/a/../b"}}, [("normal-path", "/spec/directory/path")]),
        ({"directory": {"path": "/a/"}}, [("normal-path", "/spec/directory/path")]),
        ({"directory": {"path": "//a"}}, [("normal-path", "/spec/directory/path")]),
        ({"directory": {"path": "/"}}, [("normal-path", "/spec/directory/path")]),
        ({"rbd": RBD | {"monitors": ["[fd00::1]:6789", "mon-1.lab:3300", "10.0.0.1"]}}, []),
        ({"rbd": RBD | {"monitors": ["10.0.0.1:0"]}}, [("monitor-address", "/spec/rbd/monitors/0")]),
        ({"rbd": RBD | {"monitors": ["a", "fd00::1"]}}, [("monitor-address", "/spec/rbd/monitors/1")]),
        ({"rbd": RBD | {"monitors": ["a,b"]}}, [("monitor-address", "/spec/rbd/monitors/0")]),
        ({"rbd": RBD | {"secret": {}}}, [("exactly-one", "/spec/rbd/secret")]),
        ({"rbd": RBD | {"secret": {"file": "/a", "credential": "b"}}}, [("exactly-one", "/spec/rbd/secret")]),
        ({"directory": {"path": "/images"}}, []),
    ],
)
def test_check(spec: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert rules(spec) == expected


def test_two_pools_in_one_place() -> None:
    assert rules({"directory": {"path": "/images"}}, LOCAL) == [("same-place", "/spec")]
    assert rules({"rbd": RBD}, GLUE) == [("same-place", "/spec")]
    assert rules({"rbd": RBD | {"namespace": "cell"}}, GLUE, LOCAL) == []


@pytest.mark.parametrize("field", ["pool", "user"])
def test_the_schema_refuses_what_would_split_a_name(field: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        document("StoragePool/x", {"rbd": RBD | {field: "a/b"}})


def test_the_schema_refuses_a_user_whom_libvirt_does_not_take() -> None:
    with pytest.raises(msgspec.ValidationError):
        document("StoragePool/x", {"rbd": RBD | {"user": "cell.h1"}})
