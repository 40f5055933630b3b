"""After `down`, and after every crash and `down`, nothing of a lab is left on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab
from cell_reconciler.lab.state import Places, Process
from tests.lab.traces import links, members, runs, traces, wait

pytestmark = pytest.mark.live

CREATOR = """
import sys, time
from cell_reconciler.lab import Lab
lab = Lab.up(sys.argv[1], kernel="namespace", bound=True)
print(lab.info().pid, flush=True)
time.sleep(1000)
"""


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"left-{os.getpid()}"
    yield chosen
    if lab := Lab.find(chosen):  # the test failed
        lab.down()


def test_down(name: str) -> None:
    before = links()
    lab = Lab.up(name, kernel="namespace")
    pid = lab.info().pid
    assert pid is not None
    inside = members(pid)
    assert len(inside) >= 3  # PID 1, virtlogd, libvirtd
    assert traces(name)
    lab.down()
    assert traces(name) == []
    assert not any(runs(one) for one in inside)
    lab.down()  # idempotent
    assert Lab.find(name) is None
    assert links() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_bound_lab_dies_with_its_creator(name: str, number: signal.Signals) -> None:
    before = links()
    creator = subprocess.Popen([sys.executable, "-c", CREATOR, name], stdout=subprocess.PIPE, text=True)
    assert creator.stdout is not None
    pid = int(creator.stdout.readline())
    inside = members(pid)
    creator.send_signal(number)
    creator.wait()
    assert wait(lambda: not any(runs(one) for one in inside))
    lab = Lab.find(name)
    assert lab is not None
    assert wait(lambda: lab.info().status == "crashed")
    lab.down()
    assert traces(name) == []
    assert links() == before


def _host_init(state_of: Places) -> Process | None:
    state = state_of.load()
    return state.host if state else None


def _rack_init(state_of: Places) -> Process | None:
    state = state_of.load()
    return state.rack if state else None


@pytest.mark.parametrize("victim", [_host_init, _rack_init])
def test_after_sigkill_of_an_init(name: str, victim: Callable[[Places], Process | None]) -> None:
    lab = Lab.up(name, kernel="namespace")
    try:
        pid = lab.info().pid
        assert pid is not None
        inside = members(pid)
        process = victim(Places.of(name))
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        assert wait(lambda: not any(runs(one) for one in inside))
        if victim is _rack_init:  # a crashed lab does not stand in the way of the next
            lab = Lab.up(name, kernel="namespace")
            assert lab.exec(["true"]).returncode == 0
    finally:
        lab.down()
    assert traces(name) == []


def test_an_interrupted_up_leaves_nothing(name: str) -> None:
    def interrupt(line: str) -> None:
        if "libvirtd" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Lab.up(name, kernel="namespace", progress=interrupt)
    assert traces(name) == []


def test_a_reused_pid_is_not_killed() -> None:
    ours = Process.of(os.getpid())
    Process(ours.pid, ours.start - 1).kill()  # we are alive to see it: that was another process
    assert not Process(ours.pid, ours.start - 1).alive
    assert ours.alive


def test_the_directory_is_ours_to_choose(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELL_LAB_DIR", str(tmp_path / "labs"))
    with Lab.up(name, kernel="namespace", bound=True) as lab:
        assert lab.share.is_relative_to(tmp_path)
        lab.exec(["touch", str(lab.share / "x")], check=True)
        assert (lab.share / "x").exists()
    assert list((tmp_path / "labs").iterdir()) == []
