"""A state directory that can hold no more: nothing is begun that cannot be noted, and it is told with the path."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import structlog.testing

from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import Journal
from cell_reconciler.converge.lock import holder, host_lock
from cell_reconciler.daemon.hints import Finished, Hint, Job
from cell_reconciler.daemon.workers import Workers
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import Refused, about, of_host
from cell_reconciler.model.change import Outcome, Plan, Result
from cell_reconciler.model.key import Key
from cell_reconciler.status.records import ResourceStatus
from cell_reconciler.status.store import StatusStore
from tests.converge.test_executor import Touch, plan_of
from tests.limited import file_size


def full(plan: Plan, tmp_path: Path, most: int) -> list[Outcome]:
    """Run a plan while the journal can hold so many bytes more than its head."""
    with Journal(tmp_path / "state").open(plan) as journal:
        size = (tmp_path / "state" / "journal.jsonl").stat().st_size
        with file_size(size + most):
            return execute(plan, Doors(), journal)


def touches(tmp_path: Path, count: int) -> Plan:
    edges = ((), *((index,) for index in range(count - 1)))
    return plan_of(*(Touch(str(tmp_path / str(index))) for index in range(count)), edges=edges)


def test_a_step_that_cannot_be_noted_is_not_begun(tmp_path: Path) -> None:
    """In a thread of its own, which must come back: nobody waits for ever for what it has to say."""
    [first, second] = full(touches(tmp_path, 2), tmp_path, 0)
    assert (first.result, second.result) == (Result.FAILED, Result.BLOCKED)
    journal = tmp_path / "state" / "journal.jsonl"
    assert first.error == f"not begun, since its state cannot be written: {journal}: File too large"
    assert first.retryable
    assert not (tmp_path / "0").exists()


def test_what_fits_in_part_is_not_noted(tmp_path: Path) -> None:
    [first] = full(touches(tmp_path, 1), tmp_path, 10)
    assert first.result == Result.FAILED
    assert not (tmp_path / "0").exists()


def test_a_step_that_was_made_is_done_whatever_the_journal_can_hold(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    plan = plan_of(Touch(str(tmp_path / "a")), edges=((),))
    with journal.open(plan) as writer:
        writer.begin(0, plan.steps[0])
        size = journal.path.stat().st_size
        with file_size(size + 10):
            writer.end(Outcome(step=0, key=Key("Volume", "v0"), op="t", result=Result.DONE))
        assert journal.path.stat().st_size == size + 10
        assert Journal(tmp_path).interrupted() == ["step 0"], "at worst"
        writer.begin(1, plan_of(Touch("x"), Touch("y"), edges=((), ())).steps[1])
        assert Journal(tmp_path).interrupted() == ["step 0", "step 1"], "a torn line spoils no other"


def test_the_lock_is_held_without_a_name(tmp_path: Path) -> None:
    with file_size(0), host_lock(tmp_path, "cellctl run"):
        assert holder(tmp_path) == "another process"
        with pytest.raises(Refused), host_lock(tmp_path, "cellctl apply"):
            pass


def test_the_status_names_its_file(tmp_path: Path) -> None:
    store = StatusStore(tmp_path)
    with file_size(3), pytest.raises(OSError, match=r"File too large: '.*/status/Volume/a\.json'"):
        store.put([ResourceStatus(key=Key("Volume", "a"))])
    assert list((tmp_path / "status" / "Volume").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room on the file system that has it: df -h /x"),
        (errno.EDQUOT, "make room on the file system that has it: df -h /x"),
        (errno.EROFS, "its file system is read-only: dmesg may say why"),
        (errno.EACCES, "cellctl changes a host as root: try sudo"),
        (errno.EIO, ""),
    ],
)
def test_the_advice_is_that_of_the_error(number: int, advice: str) -> None:
    with pytest.raises(OSError, match="/x") as caught, about("/x"):
        raise OSError(number, "no")
    assert of_host(caught.value) == ("/x: no", advice)


def test_an_error_that_names_a_file_keeps_it() -> None:
    with pytest.raises(FileNotFoundError) as caught, about("/x"):
        Path("/nowhere/y").read_bytes()
    assert caught.value.filename == "/nowhere/y"


def test_a_worker_says_it_in_one_line(tmp_path: Path) -> None:
    told = list[Hint]()

    def apply(plan: Plan, say: object) -> list[Outcome]:
        with file_size(5), Journal(tmp_path / "state").open(plan):
            return []

    workers = Workers(apply, told.append)
    workers.submit(Job("r1", touches(tmp_path, 2)))
    workers.stop()
    with structlog.testing.capture_logs() as said:
        workers.run()
    assert [line["error"] for line in said] == [f"{tmp_path}/state/journal.jsonl: File too large"]
    [finished] = told
    assert isinstance(finished, Finished)
    assert finished.full
    assert [(o.result, o.retryable) for o in finished.outcomes] == [(Result.FAILED, True)] * 2
