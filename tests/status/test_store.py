"""The state directory: atomic, bounded, and readable after a crash."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.key import Key
from cell_reconciler.status.records import Event, ResourceStatus, SuspensionRecord
from cell_reconciler.status.store import StatusStore

WEB, DB = Key("VirtualMachine", "web"), Key("VirtualMachine", "db")


def status(key: Key, truth: Truth = Truth.TRUE, time: str = "t1") -> ResourceStatus:
    return ResourceStatus(key=key, conditions=(Condition(type="Ready", status=truth, reason="InSync"),), time=time)


def test_reads_back_and_forgets(tmp_path: Path) -> None:
    store = StatusStore(tmp_path)
    store.put([status(WEB), status(DB)])
    assert [s.key for s in StatusStore(tmp_path).resources()] == [DB, WEB]
    store.forget([WEB])
    assert [s.key for s in store.resources()] == [WEB]
    assert store.get(DB) is None


def test_an_unchanged_status_is_not_written_again(tmp_path: Path) -> None:
    store = StatusStore(tmp_path)
    store.put([status(WEB, time="t1")])
    path = tmp_path / "status/VirtualMachine/web.json"
    before = path.stat().st_mtime_ns
    store.put([status(WEB, time="t2")])
    assert path.stat().st_mtime_ns == before
    store.put([status(WEB, Truth.FALSE, time="t3")])
    assert path.stat().st_mtime_ns != before


def test_torn_lines_and_files_are_passed_over(tmp_path: Path) -> None:
    store = StatusStore(tmp_path)
    store.put([status(WEB)])
    store.add_events([Event(time="t", type="Normal", reason="R", message="one", key=WEB)])
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"time": "t", "ty')
    (tmp_path / "status/VirtualMachine/web.json").write_bytes(b"{")
    assert [e.message for e in store.events()] == ["one"]
    assert store.resources() == []


def test_events_of_one_key(tmp_path: Path) -> None:
    store = StatusStore(tmp_path)
    for index in range(10):
        store.add_events([Event(time="t", type="Normal", reason="R", message=str(index), key=WEB if index % 2 else DB)])
    assert [e.message for e in store.events(WEB, limit=2)] == ["7", "9"]


def test_suspensions_end(tmp_path: Path) -> None:
    store = StatusStore(tmp_path)
    store.suspend(SuspensionRecord(key=WEB, reason="INC-1", since="t", until="2026-01-01T00:00:00+00:00"))
    store.suspend(SuspensionRecord(key=DB, reason="INC-2", since="t"))
    assert set(store.suspensions(datetime(2025, 12, 31, tzinfo=UTC))) == {WEB, DB}
    assert set(store.suspensions(datetime(2026, 1, 2, tzinfo=UTC))) == {DB}
    assert store.resume(DB)
    assert not store.resume(DB)


def test_unreadable_suspensions_stop_everything(tmp_path: Path) -> None:
    (tmp_path / "suspensions.json").write_text("[")
    with pytest.raises(CellError, match=r"suspensions\.json"):
        StatusStore(tmp_path).suspensions()
