"""sd_notify against a real socket: what systemd would receive, datagram by datagram."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.daemon.notify import Notify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        path = str(tmp_path / "notify")
        door.bind(path)
        door.settimeout(2)
        yield door, path


def test_reload_says_both_lines_in_one_datagram_then_ready(manager: tuple[socket.socket, str]) -> None:
    door, path = manager
    notify = Notify({"NOTIFY_SOCKET": path})
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.reloading()
    notify.ready("42 in sync, 1 drifted, 0 failed")
    first, usec = door.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, value = usec.split("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert door.recv(4096) == b"READY=1\nSTATUS=42 in sync, 1 drifted, 0 failed"


def test_watchdog_stopping_and_more_time(manager: tuple[socket.socket, str]) -> None:
    door, path = manager
    notify = Notify({"NOTIFY_SOCKET": path})
    notify.alive()
    notify.extend(30)
    notify.stopping("SIGTERM")
    assert [door.recv(4096) for _ in range(3)] == [
        b"WATCHDOG=1",
        b"EXTEND_TIMEOUT_USEC=30000000",
        b"STOPPING=1\nSTATUS=SIGTERM",
    ]


def test_abstract_address() -> None:
    name = f"cell-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind("\0" + name)
        door.settimeout(2)
        Notify({"NOTIFY_SOCKET": "@" + name}).status("x")
        assert door.recv(4096) == b"STATUS=x"


def test_nobody_listens() -> None:
    Notify({}).ready("x")
    Notify({"NOTIFY_SOCKET": "/nowhere/notify"}).ready("x")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], seconds: float | None) -> None:
    assert Notify(environ, pid=7).watchdog_seconds == seconds
