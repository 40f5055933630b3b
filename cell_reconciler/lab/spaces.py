"""Starts PID 1 of new namespaces and runs commands in them, by way of ``nsrun.py``."""

from __future__ import annotations

import array
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cell_reconciler.errors import CellError
from cell_reconciler.lab.needs import SEARCH
from cell_reconciler.lab.state import Process

NSRUN = [sys.executable, "-I", "-S", str(Path(__file__).with_name("nsrun.py"))]
NETWORK = ("net",)


class Birth:
    """The start of a PID 1, told step by step on a socket: born, then ready or failed."""

    def __init__(self, process: Process, report: socket.socket, log: Path) -> None:
        self.process = process
        self._report = report
        self._log = log

    def wait(self, what: str, timeout: float) -> None:
        """Wait (seconds) for the end of the set-up command; raises CellError with the end of its log."""
        message = self.said(timeout) or f"not ready after {timeout:.0f} s"
        if message != "ready":
            raise CellError(f"{what} did not start: {message}", tail(self._log))

    def said(self, timeout: float) -> str:
        """What it reported within ``timeout`` (seconds), "" if nothing."""
        self._report.settimeout(timeout)
        try:
            return self._report.recv(64).decode() or "it died"
        except TimeoutError:
            return ""

    def bind(self, to_us: bool) -> None:
        """Let it end with this process, or outlive it (only if it was started ``bound``)."""
        self._report.send(b"bind" if to_us else b"free")

    def close(self) -> None:
        """We wait for nothing more."""
        self._report.close()


def start(
    new: Sequence[str],
    *,
    join: Process | None = None,
    bound: bool = False,
    setup: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    log: Path,
) -> Birth:
    """Start PID 1 of ``new`` namespaces (inside those of ``join``) that runs ``setup`` and then reaps.

    ``bound``: it ends when this process ends, however that happens (see ``Birth.bind``).
    Raises CellError.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    handle = os.pidfd_open(os.getpid()) if bound else None
    argv = [*NSRUN, "init", "--new", ",".join(new), "--report", str(theirs.fileno())]
    if join:
        argv += ["--join", str(join.pid)]
    if handle is not None:
        argv += ["--bound", str(handle)]
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        with log.open("ab") as output:
            subprocess.run(
                [*argv, "--", *setup],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()] + ([handle] if handle is not None else []),
                env={**(env or {}), "PATH": SEARCH, "LC_ALL": "C.UTF-8"},
                cwd="/",
                check=True,
                timeout=60,
            )
        theirs.close()
        return Birth(Process.of(_sender(ours)), ours, log)
    except (OSError, subprocess.SubprocessError) as error:
        ours.close()
        raise CellError(f"cannot start namespaces: {error}", tail(log)) from error
    finally:
        theirs.close()
        if handle is not None:
            os.close(handle)


def _sender(report: socket.socket) -> int:
    """PID, as this process sees it, of the one that says ``born``: unix(7), SCM_CREDENTIALS."""
    report.settimeout(30)
    message, ancillary, _, _ = report.recvmsg(64, socket.CMSG_SPACE(struct.calcsize("3i")))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and message == b"born":
            return array.array("i", data)[0]
    raise OSError("PID 1 died before it was ready")


def enter(
    process: Process,
    argv: Sequence[str],
    *,
    kinds: Sequence[str] = (),
    cwd: str | None = None,
    tty: bool = False,
    death: int = 9,
) -> list[str]:
    """argv that runs ``argv`` in the namespaces of ``process`` (all, or ``kinds``); raises CellError if it is gone."""
    if not process.alive:
        raise CellError("the host is off", "start it again: cellctl lab down, then cellctl lab up")
    options = ["--kinds", ",".join(kinds)] if kinds else []
    options += ["--cwd", cwd] if cwd else []
    options += ["--tty"] if tty else []
    options += ["--death", str(death)] if death != 9 else []
    return [*NSRUN, "enter", "--pid", str(process.pid), *options, "--", *argv]


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, as advice of an error."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
