"""The daemon as a process: readiness, reload, watchdog, lock, signals, and the death of a thread.

libvirt's own test driver stands in for no host here: the specs declare settings only, and the mode is observe, so
that nothing of this machine is looked at closely, let alone changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.daemon.crew import Crew
from cell_reconciler.daemon.hints import Died, Hint

SETTINGS = (
    "apiVersion: cell/v1\nkind: Reconciler\nmetadata: {name: default}\nspec: {resyncInterval: 1h, mode: observe}\n"
)


class Process:
    """``cellctl run`` with a service manager that listens."""

    def __init__(self, where: Path, *, before: str = "", watchdog: float | None = None) -> None:
        self.where = where
        self.specs = where / "specs"
        self.specs.mkdir(exist_ok=True)
        (self.specs / "settings.yaml").write_text(SETTINGS)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(where / "notify"))
        environ = {**os.environ, "NOTIFY_SOCKET": str(where / "notify")}
        if watchdog is not None:
            environ["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        code = f"{before}\nimport sys\nfrom cell_reconciler.cli.main import main\nsys.exit(main({self.argv()!r}))\n"
        self.log = where / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=log, stderr=log)

    def argv(self) -> list[str]:
        state = ["--host", "h1", "--state-dir", str(self.where / "state"), "--connect", "test:///default"]
        return [*state, "run", "-f", str(self.specs), "--log-format", "json"]

    def told(self, wanted: str, seconds: float = 15.0) -> list[str]:
        """The lines of the first datagram that holds ``wanted``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.manager.settimeout(max(0.01, end - time.monotonic()))
            try:
                lines = self.manager.recv(4096).decode().split("\n")
            except TimeoutError:
                break
            if any(line.startswith(wanted) for line in lines):
                return lines
        raise AssertionError(f"{wanted} was not told within {seconds} s; the log: {self.log.read_text()}")

    def drain(self) -> None:
        """Forget what was told so far."""
        self.manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.manager.recv(4096):
                pass

    def lines(self) -> list[dict[str, Any]]:
        return [dict(json.loads(line)) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.manager.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    running = Process(tmp_path, watchdog=1.2)
    yield running
    running.end()


def test_life_as_systemd_sees_it(process: Process) -> None:
    ready = process.told("READY=1")
    assert ready[1] == "STATUS=1 in sync, 0 drifted, 0 failed"
    for _ in range(3):
        process.told("WATCHDOG=1", seconds=2)
    process.process.send_signal(signal.SIGHUP)
    first, usec = process.told("RELOADING=1")
    assert first == "RELOADING=1"
    assert usec.startswith("MONOTONIC_USEC=")
    process.told("READY=1")
    process.process.send_signal(signal.SIGTERM)
    assert process.told("STOPPING=1")[1] == "STATUS=stopping: SIGTERM"
    assert process.process.wait(10) == 0
    assert process.lines()[-1]["event"] == "stopped"


def test_a_file_with_too_much_in_it_is_a_finding_and_hurts_nobody(process: Process) -> None:
    process.told("READY=1")
    (process.specs / "bad.yaml").write_text(
        "apiVersion: cell/v1\nkind: Volume\nmetadata: {name: a}\n"
        f"spec: {{pool: p, size: 1GiB, trashFor: {'9' * 400}s}}\n"
    )
    [said] = _said(process, "bad.yaml:4:")
    assert "error [limit] trashFor: '999" in said["event"]
    process.told("WATCHDOG=1", seconds=2)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(10) == 0


STAYS = "the specs cannot be read: what was in force stays"
BUG = """
from cell_reconciler.kinds.host import HostKind
def references(self, doc, documents):
    if doc.key.name == "bad":
        raise RuntimeError("a bug")
    return ()
HostKind.references = references
"""


def test_a_bug_that_the_specs_meet_together_keeps_what_is_in_force(tmp_path: Path) -> None:
    process = Process(tmp_path, before=BUG, watchdog=1.2)
    try:
        process.told("READY=1")
        bad = process.specs / "bad.yaml"
        bad.write_text("apiVersion: cell/v1\nkind: Host\nmetadata: {name: bad}\nspec: {}\n")
        _said(process, STAYS)
        process.process.send_signal(signal.SIGHUP)
        assert {line["error"] for line in _said(process, STAYS, 2)} == {"a bug"}, "it is not forgotten at the next look"
        process.told("WATCHDOG=1", seconds=2)
        bad.write_text("apiVersion: cell/v1\nkind: Host\nmetadata: {name: h1}\nspec: {}\n")
        assert _said(process, "specs changed")[0]["changed"] == 1
    finally:
        process.end()


def _said(process: Process, event: str, count: int = 1) -> list[dict[str, Any]]:
    """The lines of the log with this in their event, as soon as there are so many."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if len(found := [line for line in process.lines() if event in line["event"]]) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{event} was not said {count} times; the log: {process.log.read_text()}")


def test_a_frozen_loop_feeds_no_watchdog(process: Process) -> None:
    process.told("READY=1")
    process.process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    process.drain()
    process.manager.settimeout(1.5)
    with pytest.raises(TimeoutError):
        process.manager.recv(4096)
    process.process.send_signal(signal.SIGCONT)
    process.told("WATCHDOG=1")


def test_the_second_one_names_the_first(process: Process) -> None:
    process.told("READY=1")
    second = subprocess.run(
        [sys.executable, "-m", "cell_reconciler.cli", *process.argv(), "--once"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 6
    assert f"cellctl run (pid {process.process.pid})" in second.stderr


def test_a_killed_one_leaves_no_lock(process: Process) -> None:
    process.told("READY=1")
    process.process.kill()
    process.process.wait(10)
    again = subprocess.run(
        [sys.executable, "-m", "cell_reconciler.cli", *process.argv(), "--once"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert again.returncode == 0, again.stderr


def test_an_unreadable_suspension_list_stops_the_work_but_not_the_process(process: Process) -> None:
    process.told("READY=1")
    (process.where / "state" / "suspensions.json").write_text("{")
    process.process.send_signal(signal.SIGHUP)
    process.told("READY=1")
    assert any("suspensions.json cannot be read" in str(line) for line in process.lines())
    (process.where / "state" / "suspensions.json").unlink()
    process.told("STATUS=1 in sync", seconds=5)
    assert process.process.poll() is None


@pytest.mark.parametrize(
    "victim",
    [
        "cell_reconciler.daemon.watch.Watch",
        "cell_reconciler.daemon.triggers_netlink.NetlinkTrigger",
        "cell_reconciler.daemon.triggers_nftables.FilterTrigger",
        "cell_reconciler.daemon.triggers_libvirt.LibvirtTrigger",
        "cell_reconciler.daemon.triggers_pools.PoolTrigger",
        "cell_reconciler.daemon.workers.Workers",
    ],
)
def test_a_thread_that_dies_ends_the_process(tmp_path: Path, victim: str) -> None:
    """A bug is put into the body of one thread; nobody may live on without it."""
    module, _, name = victim.rpartition(".")
    before = textwrap.dedent(f"""
        import time
        from {module} import {name}
        def run(self):
            time.sleep(0.5)
            raise ZeroDivisionError("a bug")
        {name}.run = run
    """)
    process = Process(tmp_path, before=before)
    try:
        assert process.process.wait(20) == 1
        died = [line for line in process.lines() if "died" in str(line["event"])]
        assert "ZeroDivisionError: a bug" in died[0]["error"]
    finally:
        process.end()


def test_a_thread_of_a_library_that_dies_is_noticed() -> None:
    told: list[Hint] = []
    crew = Crew(told.append)
    before = threading.excepthook
    try:
        crew.watch_strangers()
        stranger = threading.Thread(target=lambda: 1 // 0, name="stranger")
        stranger.start()
        stranger.join(5)
    finally:
        threading.excepthook = before
    (died,) = told
    assert isinstance(died, Died)
    assert died.thread == "stranger"
    assert "ZeroDivisionError" in died.error


def test_a_thread_that_just_returns_is_dead_too() -> None:
    told: list[Hint] = []
    crew = Crew(told.append)
    crew.start("short", lambda: None, lambda: None)
    end = time.monotonic() + 5
    while not told and time.monotonic() < end:
        time.sleep(0.01)
    assert told == [Died("short", "it returned without being told to")]


def test_stop_is_no_death() -> None:
    told: list[Hint] = []
    crew, leave = Crew(told.append), threading.Event()
    crew.start("worker", lambda: leave.wait(10) and None, leave.set)
    crew.stop()
    assert told == []
