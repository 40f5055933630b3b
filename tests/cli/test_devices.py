"""Who looks at the host's devices, and what is said when nobody did."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.cli import checks_host, snapshot
from cell_reconciler.converge.engine import Engine, Options
from cell_reconciler.drivers import Doors, inhibitor
from cell_reconciler.kinds.world import needs_devices
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import HostDevices
from cell_reconciler.model.live import Domain, Live, Source
from tests.kinds.vm.make import vm

PLAIN = vm("web")
PAGES = vm("big", memory={"guest": "1GiB", "hugepages": {}})
HANDED = vm("scvm", hostDevices=[{"name": "hba", "pci": {"address": "0000:3b:00.0"}}])
FUNCTION = vm("fast", interfaces=[{"name": "lan", "sriov": {"nic": "ens1f0"}}])


def by_key(*docs: Document) -> dict[Any, Document]:
    return {doc.key: doc for doc in docs}


@pytest.mark.parametrize(("doc", "needed"), [(PLAIN, False), (PAGES, True), (HANDED, True), (FUNCTION, True)])
def test_only_what_needs_them_pays_for_them(doc: Document, needed: bool, tmp_path: Any) -> None:
    assert needs_devices(by_key(doc)) is needed
    options = Options(host="h1", paths=(), state_dir=str(tmp_path), connect="test:///default")
    with Engine(options) as engine:
        assert isinstance(engine.observe(by_key(doc)).devices, HostDevices if needed else type(None))


def test_a_snapshot_without_devices_is_unknown_where_they_are_needed() -> None:
    def gaps(live: Live, *docs: Document) -> list[Source]:
        return [gap.source for gap in snapshot.complete(live, by_key(*docs)).gaps]

    assert gaps(Live(host="h"), PLAIN) == []
    assert gaps(Live(host="h"), PLAIN, HANDED) == [Source.DEVICES]
    assert gaps(Live(host="h", devices=HostDevices()), HANDED) == []


@pytest.mark.parametrize(
    ("running", "locks", "result", "words"),
    [
        (1, ["cell-reconciler 0 root 13 systemd-inhibit sleep vms block"], "ok", "inhibited while VMs run"),
        (0, [], "ok", "no VM runs"),
        (2, ["UPower 0 root 7 upowerd sleep Pause delay"], "warn", "2 VMs run, and nothing keeps this host"),
        (1, None, "warn", "logind does not answer"),
        (0, None, "ok", "logind does not answer"),
    ],
)
def test_doctor_tells_whether_the_host_may_sleep(
    running: int, locks: list[str] | None, result: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock itself: ``tests/live/test_sleep.py``, against a real logind."""
    found = {f"vm{i}": Domain(uuid="", name=f"vm{i}", state="running", inactive="", active="x") for i in range(running)}
    doors = Doors()
    monkeypatch.setitem(doors.__dict__, "libvirt", _Observed(found))
    monkeypatch.setattr(inhibitor, "holders", lambda: locks)
    (check,) = checks_host.sleep(doors)
    assert (check.result, check.message.startswith(words)) == (result, True)


class _Observed:
    """What the check asks libvirt's door for."""

    def __init__(self, domains: dict[str, Domain]) -> None:
        self.domains = domains

    def observe(self) -> dict[str, Any]:
        return {"domains": self.domains}
