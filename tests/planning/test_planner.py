"""What a plan makes of changes that cannot be made: who waits for them, and who goes on."""

from __future__ import annotations

from typing import Any

from cell_reconciler.model.change import Plan
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.live import Image, Live, Pool
from cell_reconciler.planning import Policy, make_plan
from tests.kinds.storage import LOCAL, document

VM = document("VirtualMachine/web", {"memory": {"guest": "128MiB"}, "disks": [{"name": "root", "volume": "theirs"}]})


def plan(*documents: Document, images: tuple[Image, ...] = (), **live: Any) -> Plan:
    pool = Pool(name="local", backend="directory", target="/images", exists=True, mark=None)
    facts = {"pools": {"local": pool}, "images": {f"local/{image.name}": image for image in images}}
    loaded = Loaded(documents={doc.key: doc for doc in (LOCAL, *documents)})
    return make_plan("h1", loaded, Live(host="h1", **facts, **live), Policy())


def refused(found: Plan) -> dict[str, str]:
    return {str(change.key): change.refused[0].message for change in found.changes if change.refused}


def test_no_vm_gets_an_image_that_is_somebody_elses() -> None:
    theirs = document("Volume/theirs", {"pool": "local", "size": "1GiB"})
    found = plan(theirs, VM, images=(Image(pool="local", name="theirs", size=2**30),))
    assert found.steps == () or {str(step.key) for step in found.steps} == {"StoragePool/local"}
    assert "something else" in refused(found)["VirtualMachine/web"]
    adopted = document("Volume/theirs", {"pool": "local", "size": "1GiB"}, adopt="true")
    found = plan(adopted, VM, images=(Image(pool="local", name="theirs", size=2**30),))
    assert {"vm.define", "vm.start"} <= {step.op for step in found.steps}


def test_those_that_wait_for_each_other_hold_up_nobody_else() -> None:
    def clone(name: str, source: str) -> Document:
        return document(f"Volume/{name}", {"pool": "local", "size": "1GiB", "source": {"clone": {"volume": source}}})

    other = document("Volume/other", {"pool": "local", "size": "1GiB"})
    found = plan(clone("a", "b"), clone("b", "a"), clone("c", "a"), other)
    told = refused(found)
    assert told["Volume/a"] == told["Volume/b"] == "the changes of Volume/a, Volume/b wait for each other"
    assert told["Volume/c"].startswith("needs Volume/a")
    assert "volume.create" in {step.op for step in found.steps if step.key == other.key}
