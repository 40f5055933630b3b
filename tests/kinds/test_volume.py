"""Volume, the pure part: what is checked, and what is planned for which observation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.volume.actions import Create, Grow, GrowOnline, Remove, SetMark, Trash
from cell_reconciler.model.change import Change, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Gap, Source
from cell_reconciler.model.storage import Clone, Import, Origin
from tests.kinds.storage import GLUE, LOCAL, document, image, volume, world

KIND = kind("Volume")


def plan(want: Document | None, where: World) -> Change:
    return KIND.plan(want, KIND.observe("demo", where), where)


def reasons(change: Change) -> list[str]:
    return [refusal.reason for refusal in change.refused]


def domain(xml: str, *, running: bool = False) -> dict[str, Domain]:
    one = Domain(
        uuid="u", name="web", state="running", inactive=None if running else xml, active=xml if running else None
    )
    return {"web": one}


def test_clones_of_each_other_are_an_error_in_each() -> None:
    one, two, three, end = (
        document(f"Volume/{name}", {"pool": "local", "size": "1GiB", "source": {"clone": {"volume": source}}})
        for name, source in (("one", "two"), ("two", "three"), ("three", "one"), ("end", "one"))
    )
    documents = {doc.key: doc for doc in (LOCAL, one, two, three, end)}
    found = [[problem.message for problem in KIND.check(doc, documents)] for doc in (one, two, three, end)]
    assert [len(messages) for messages in found] == [1, 1, 1, 0]
    assert found[1][0].startswith("each of two, three, one is a clone of the next")


def test_create() -> None:
    change = plan(volume("2GiB", policy="Trash"), world(volume()))
    (step,) = change.steps
    assert (change.verb, step.text) == (Verb.CREATE, "create 2GiB volume demo in local")
    assert isinstance(step.action, Create)
    assert (step.action.size, step.action.notes) == (2**31, {"reclaimPolicy": "Trash", "host": "h1"})
    assert {field.path: field.want for field in change.fields} == {"spec.pool": "local", "spec.size": "2GiB"}


SUM = "sha256:" + "5" * 64


def sourced(source: dict[str, Any], pool: str = "local", size: str = "1GiB") -> Document:
    return document("Volume/demo", {"pool": pool, "size": size, "source": source})


@pytest.mark.parametrize(
    ("source", "pool", "origin", "text"),
    [
        ({"file": {"path": "/srv/a.raw", "checksum": SUM}}, "local", Import(path="/srv/a.raw", sha256="5" * 64),
         "create 1GiB volume demo in local from /srv/a.raw"),
        ({"url": {"url": "https://example.org/a.raw", "checksum": SUM}}, "local",
         Import(url="https://example.org/a.raw", sha256="5" * 64),
         "create 1GiB volume demo in local from https://example.org/a.raw"),
        ({"clone": {"volume": "golden", "snapshot": "one", "flatten": True}}, "glue",
         Clone(image="golden", snapshot="one", flatten=True),
         "create 1GiB volume demo in glue as a flat clone of golden@one"),
        ({"clone": {"volume": "golden"}}, "local", Clone(image="golden"),
         "create 1GiB volume demo in local as a clone of golden"),
    ],
)  # fmt: skip
def test_create_with_data(source: dict[str, Any], pool: str, origin: Origin, text: str) -> None:
    want = sourced(source, pool)
    (step,) = plan(want, world(want)).steps
    assert isinstance(step.action, Create)
    assert (step.action.origin, step.text) == (origin, text)


def test_a_source_counts_when_the_volume_is_made_and_never_again() -> None:
    want = sourced({"file": {"path": "/srv/a.raw", "checksum": SUM}})
    assert plan(want, world(want, images=(image(),))).quiet
    want = sourced({"clone": {"image": "gone"}})
    assert plan(want, world(want, images=(image(),))).quiet


def test_an_image_that_is_not_there_is_waited_for() -> None:
    want = sourced({"clone": {"image": "golden", "snapshot": "one"}}, "glue")
    change = plan(want, world(want))
    assert (reasons(change), change.steps) == (["DependencyNotReady"], ())
    golden = msgspec.structs.replace(image(owner=None, pool="glue"), name="golden")
    assert plan(want, world(want, images=(golden,))).steps


def test_a_volume_that_is_cloned_comes_first() -> None:
    want = sourced({"clone": {"volume": "golden"}})
    assert [str(r.target) for r in KIND.references(want, {})] == ["StoragePool/local", "Volume/golden"]
    want = sourced({"clone": {"image": "golden"}})
    assert [str(r.target) for r in KIND.references(want, {})] == ["StoragePool/local"]


@pytest.mark.parametrize(
    ("source", "pool", "rules"),
    [
        ({}, "local", ["exactly-one"]),
        ({"clone": {"image": "a"}, "file": {"path": "/a", "checksum": SUM}}, "local", ["exactly-one"]),
        ({"file": {"path": "/srv/../a", "checksum": SUM}}, "local", ["normal-path"]),
        ({"clone": {}}, "local", ["exactly-one"]),
        ({"clone": {"image": "a", "volume": "b"}}, "local", ["exactly-one"]),
        ({"clone": {"volume": "demo"}}, "local", ["clone-source"]),
        ({"clone": {"volume": "golden"}}, "glue", ["clone-source", "clone-source"]),
        ({"clone": {"image": "a"}}, "glue", ["clone-source"]),
        ({"clone": {"image": "a", "snapshot": "one", "flatten": True}}, "glue", []),
        ({"clone": {"image": "a", "snapshot": "one"}}, "local", ["clone-source"]),
        ({"clone": {"image": "a", "flatten": True}}, "local", ["clone-source"]),
        ({"clone": {"image": "a"}}, "local", []),
    ],
)
def test_sources_that_cannot_be(source: dict[str, Any], pool: str, rules: list[str]) -> None:
    golden = document("Volume/golden", {"pool": "local", "size": "1GiB"})
    documents = {doc.key: doc for doc in (LOCAL, GLUE, golden)}
    assert [problem.rule for problem in KIND.check(sourced(source, pool), documents)] == rules


@pytest.mark.parametrize(
    "source",
    [
        {"file": {"path": "/a"}},
        {"url": {"url": "https://example.org/a"}},
        {"url": {"url": "file:///etc/shadow", "checksum": SUM}},
        {"file": {"path": "/a", "checksum": "md5:" + "5" * 32}},
        {"clone": {"image": "a/b"}},
        {"clone": {"image": "a", "snapshot": "b@c"}},
    ],
)
def test_sources_that_the_schema_does_not_take(source: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        sourced(source)


def test_in_sync() -> None:
    assert plan(volume(), world(volume(), images=(image(),))).quiet


def test_what_nobody_has_open_is_grown_in_its_pool() -> None:
    change = plan(volume("2GiB"), world(volume(), images=(image(),)))
    assert [type(step.action) for step in change.steps] == [SetMark, Grow]


@pytest.mark.parametrize(
    ("pool", "source"), [("local", "<source file='/images/demo.raw'/>"), ("glue", "<source name='vms/demo'/>")]
)
def test_what_a_running_vm_has_open_is_grown_by_it(pool: str, source: str) -> None:
    xml = f"<domain><devices><disk>{source}<target dev='vdb'/></disk></devices></domain>"
    declared = volume("2GiB", pool=pool)
    change = plan(declared, world(declared, images=(image(pool=pool),), domains=domain(xml, running=True)))
    grow = change.steps[-1].action
    assert isinstance(grow, GrowOnline)
    assert (grow.vm, grow.device, grow.size) == ("web", "vdb", 2 * 2**30)
    off = plan(declared, world(declared, images=(image(pool=pool),), domains=domain(xml, running=False)))
    assert isinstance(off.steps[-1].action, Grow)


def test_growing_waits_until_it_is_known_who_has_it_open() -> None:
    gap = (Gap(Source.LIBVIRT, "connection refused"),)
    change = plan(volume("2GiB"), world(volume(), images=(image(),), gaps=gap))
    assert ([r.reason for r in change.refused], change.steps) == (["Unknown"], ())


def test_shrink_is_refused_with_the_remedy() -> None:
    change = plan(volume("512MiB"), world(volume(), images=(image(),)))
    assert (reasons(change), change.steps) == (["Shrink"], ())
    assert "set size to 1GiB" in change.refused[0].advice
    assert change.fields[0].path == "spec.size"


def test_another_pool_is_refused_and_nothing_is_made_there() -> None:
    want = volume(pool="glue")
    change = plan(want, world(want, images=(image(),)))
    assert (reasons(change), change.steps) == (["Immutable"], ())
    assert "set pool back to local" in change.refused[0].advice


def test_a_foreign_image_is_refused_and_can_be_adopted() -> None:
    where = world(volume(), images=(image(owner=None),))
    assert reasons(plan(volume(), where)) == ["Foreign"]
    change = plan(volume(adopt="true"), where)
    (step,) = change.steps
    assert (change.verb, isinstance(step.action, SetMark)) == (Verb.ADOPT, True)
    assert step.action.mark.adopted


def test_adopting_grows_but_never_shrinks() -> None:
    where = world(volume(), images=(image(owner=None),))
    steps = plan(volume("2GiB", adopt="true"), where).steps
    assert [type(step.action) for step in steps] == [SetMark, Grow]
    shrink = plan(volume("512MiB", adopt="true"), where)
    assert (reasons(shrink), shrink.steps) == (["Shrink"], ())


def test_a_clone_that_carries_another_volumes_mark_is_foreign() -> None:
    assert reasons(plan(volume(), world(volume(), images=(image(owner="Volume/other"),)))) == ["Foreign"]


def test_a_new_policy_is_noted_beside_the_mark() -> None:
    want = volume(policy="Delete")
    change = plan(want, world(want, images=(image(host="h9"),)))
    (step,) = change.steps
    assert isinstance(step.action, SetMark)
    assert step.action.notes == {"reclaimPolicy": "Delete", "host": "h9"}  # who made it stays


@pytest.mark.parametrize("size", ["2GiB", "512MiB"])
def test_an_ignored_size_is_shown_and_left_alone(size: str) -> None:
    want = volume(size, ignore="/spec/size")
    change = plan(want, world(want, images=(image(),)))
    assert (change.verb, change.steps, change.refused) == (Verb.NONE, (), ())
    assert change.fields[0].ignored


@pytest.mark.parametrize(("policy", "action"), [("Trash", Trash), ("Delete", Remove)])
def test_prune_by_policy(policy: str, action: type) -> None:
    where = world(images=(image(policy=policy),))
    assert [name for name, _ in KIND.owned(where.live)] == ["demo"]
    change = plan(None, where)
    assert [type(step.action) for step in change.steps] == [action]
    assert change.steps[0].deletes


@pytest.mark.parametrize(("policy", "host"), [("Retain", "h1"), ("nonsense", "h1"), ("Delete", "h2")])
def test_what_is_retained_or_of_another_host_is_never_pruned(policy: str, host: str) -> None:
    where = world(images=(image(policy=policy, host=host),))
    assert list(KIND.owned(where.live)) == []
    assert list(KIND.foreign(where.live)) == []
    change = plan(None, where)
    assert change.quiet
    assert "data stays" in change.notes[0]


def test_declaring_it_again_after_retain_is_seamless() -> None:
    assert plan(volume(), world(volume(), images=(image(policy="Retain"),))).quiet


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(
    ("pool", "source"),
    [
        ("local", "<source file='/images/demo.raw'/>"),
        ("local", "<source dev='/images/demo.raw'/>"),
        ("local", "<backingStore type='file'><source file='/images/demo.raw'/></backingStore>"),
        ("glue", "<source protocol='rbd' name='vms/demo'/>"),
    ],
)
def test_what_a_domain_uses_is_never_pruned(pool: str, source: str, running: bool) -> None:
    xml = f"<domain><devices><disk>{source}</disk></devices></domain>"
    change = plan(None, world(images=(image(pool=pool, policy="Delete"),), domains=domain(xml, running=running)))
    assert (reasons(change), change.steps) == (["InUse"], ())
    assert "web" in change.refused[0].message


def test_a_domain_that_only_has_a_like_name_does_not_matter() -> None:
    xml = "<domain><name>demo</name><devices><disk><source file='/images/demo.raw.old'/></disk></devices></domain>"
    assert plan(None, world(images=(image(policy="Delete"),), domains=domain(xml))).steps


def test_nothing_is_pruned_while_libvirt_is_away() -> None:
    where = world(images=(image(policy="Delete"),), gaps=(Gap(Source.LIBVIRT, "down"),))
    assert reasons(plan(None, where)) == ["Unknown"]


def test_a_disk_that_a_domain_has_is_not_made_anew_and_empty() -> None:
    """The file system is not mounted, or somebody deleted the file: an empty disk would hide it."""
    xml = "<domain><devices><disk><source file='/images/demo.raw'/></disk></devices></domain>"
    change = plan(volume(), world(volume(), domains=domain(xml), exists=False))
    assert (reasons(change), change.steps) == (["DataMissing"], ())
    assert "web" in change.refused[0].message
    away = plan(volume(), world(volume(), gaps=(Gap(Source.LIBVIRT, "down"),)))
    assert (reasons(away), away.steps) == (["Unknown"], ())


def test_sources_are_those_of_its_pool() -> None:
    documents = {doc.key: doc for doc in (LOCAL, GLUE)}
    assert KIND.sources_of(volume(), documents) == {Source.FILES}
    assert KIND.sources_of(volume(pool="glue"), documents) == {Source.CEPH}
    assert KIND.scope_of(volume(pool="glue")) == "glue"


@pytest.mark.parametrize("name", ["a/b", "a@b", ".a", "-a", "a b", "", "ä", "a\n", "x" * 97])
def test_names_that_no_backend_takes(name: str) -> None:
    doc = document("Volume/x", {"pool": "local", "size": "1GiB"})
    bad = Document(key=Key("Volume", name), spec=doc.spec, given=doc.given, position=doc.position)
    assert [problem.rule for problem in KIND.check(bad, {})] == ["storage-name"]


@given(st.integers(0, 2**60))
def test_a_size_is_whole_sectors(size: int) -> None:
    rules = [p.rule for p in KIND.check(document("Volume/demo", {"pool": "local", "size": f"{size}B"}), {})]
    assert rules == ([] if size and size % 512 == 0 else ["volume-size"])


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.sampled_from(["Retain", "Trash", "Delete"]), st.booleans())
def test_no_observation_leads_to_loss_or_surprise(want: int, have: int, policy: str, ours: bool) -> None:
    """Whatever is there: never a shrink, a delete or an overwrite of a declared volume; in sync is quiet."""
    doc = document("Volume/demo", {"pool": "local", "size": f"{want}B", "reclaimPolicy": policy})
    change = plan(doc, world(doc, images=(image(have, policy=policy, owner="Volume/demo" if ours else None),)))
    assert not any(step.deletes or isinstance(step.action, Create | Remove | Trash) for step in change.steps)
    assert bool(change.steps) == (ours and want > have)
    assert change.quiet == (ours and want == have)
