"""Doing things in a lab's host, and to its cables."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cell_reconciler.errors import CellError, UsageError
from cell_reconciler.lab import guest, spaces, wiring
from cell_reconciler.lab.ceph import Ceph
from cell_reconciler.lab.state import Places, Process, State


class LabInfo(msgspec.Struct, frozen=True):
    """What ``cellctl lab status`` tells of a lab."""

    name: str
    status: str  # running, starting, off (its power is cut) or crashed
    kernel: str
    nics: tuple[str, ...]
    ceph: bool
    share: str
    pid: int | None  # of PID 1 of the host, or of the one that holds its QEMU


class Host:
    """A host that runs: commands, cables, its shared directory."""

    def __init__(self, places: Places, state: State) -> None:
        self._places = places
        self._state = state

    @property
    def name(self) -> str:
        """Name of the lab, and the host's name."""
        return self._state.name

    @property
    def kernel(self) -> str:
        """``namespace`` or ``vm``."""
        return self._state.kernel

    @property
    def nics(self) -> tuple[str, ...]:
        """Names of the host's NICs."""
        return self._state.nics

    @property
    def uuid(self) -> str:
        """The host's UUID as libvirt reports it."""
        return self._state.uuid

    @property
    def share(self) -> Path:
        """A directory that is read-write on the machine and in the host, at the same path."""
        return self._places.share

    @property
    def ceph(self) -> Ceph:
        """The lab's Ceph cluster; raises UsageError if it has none."""
        if not self._state.ceph:
            raise UsageError(f"lab {self.name!r} has no Ceph", "start it with --ceph")
        return Ceph(self._places.work / "ceph", inside=self._state.rack)

    def info(self) -> LabInfo:
        """What it is and whether it runs."""
        state = self._state
        host = state.host if state.host and state.host.alive else None
        if not (state.rack and state.rack.alive):
            status = "crashed"
        elif host is None:
            status = "off" if state.ready else "starting"
        else:
            status = "running" if state.ready else "starting"
        return LabInfo(
            state.name, status, state.kernel, state.nics, state.ceph, str(self.share), host.pid if host else None
        )

    # --- commands -----------------------------------------------------------------------------------

    def shell_argv(self, argv: Sequence[str], tty: bool = False, cwd: str | None = None) -> list[str]:
        """argv that, run on the machine, runs ``argv`` in the host: streams, signals, exit code, environment.

        In ``cwd`` (default: the caller's working directory) if the host has it, else in /. With ``tty`` on a
        terminal of its own; then standard input must be one. Raises CellError if the host is off.
        """
        if not argv:
            raise UsageError("no command given", "cellctl lab exec NAME -- COMMAND ...")
        if cwd is None:
            cwd = "/"
            with contextlib.suppress(FileNotFoundError):  # the caller's directory was removed
                cwd = os.getcwd()
        host = self._on()
        if self.kernel == "vm":
            return guest.shell_argv(self._places, self._rack(), argv, tty=tty, cwd=cwd)
        return spaces.enter(host, argv, cwd=cwd, tty=tty)

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        text: bool = True,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a command in the host and return what it printed.

        ``env`` is added to the caller's environment, ``timeout`` is in seconds; output is text unless ``text``
        is false or ``input`` is bytes. Raises as ``subprocess.run`` does, and CellError if the host is off.
        """
        stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        return subprocess.run(
            self.shell_argv(argv),
            capture_output=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            check=check,
            text=text and not isinstance(input, bytes),
            **stdin,
        )

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command in the host; signals sent to the returned process reach it, SIGKILL kills it too.

        Options are those of ``subprocess.Popen``; ``cwd`` is a directory of the host.
        """
        return subprocess.Popen(self.shell_argv(argv, cwd=options.pop("cwd", None)), **options)

    # --- cables -------------------------------------------------------------------------------------

    def cable(self, nic: str, up: bool) -> None:
        """Pull (``up=False``) or plug the cable of a NIC; raises UsageError if there is no such NIC."""
        if nic not in self.nics:
            raise UsageError(f"host {self.name} has no NIC {nic!r}", f"it has {', '.join(self.nics)}")
        self._must(wiring.cable_command(nic, up), f"the cable of {nic}")

    def in_switch(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command at the other end of the cables, where bridge ``switch`` is (a gateway, a peer)."""
        if self.kernel == "vm":
            self._on()
            command = guest.shell_argv(self._places, self._rack(), argv, place="switch")
        else:
            command = spaces.enter(self._rack(), argv, kinds=spaces.NETWORK)
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

    # --- for the lab --------------------------------------------------------------------------------

    def _on(self) -> Process:
        """PID 1 of the host; raises CellError if it is off."""
        if self._state.host is None or not self._state.host.alive:
            raise CellError(f"host {self.name} is off", f"start it anew: `cellctl lab down {self.name}`, then `up`")
        return self._state.host

    def _rack(self) -> Process:
        """PID 1 of the lab; raises CellError if it is gone."""
        if self._state.rack is None or not self._state.rack.alive:
            raise CellError(f"lab {self.name} is down", f"start it: `cellctl lab up {self.name}`")
        return self._state.rack

    def _must(self, argv: Sequence[str], what: str) -> None:
        """Run at the switch; raises CellError if it fails."""
        done = self.in_switch(argv)
        if done.returncode:
            raise CellError(f"{what}: {done.stderr.strip()}")

    def _wire(self, commands: Sequence[str], where: Process | None = None) -> None:
        """Run `ip -batch` commands in the lab's outer network, or in that of ``where``; raises CellError."""
        done = subprocess.run(
            spaces.enter(where or self._rack(), ["ip", "-batch", "-"], kinds=spaces.NETWORK),
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CellError(f"cannot wire the lab: {done.stderr.strip()}")

    def _update(self, **changes: Any) -> None:
        """Change the state and save it."""
        self._state = msgspec.structs.replace(self._state, **changes)
        self._places.save(self._state)

    def _log(self, what: str) -> Path:
        """Log of the start of a part of the lab."""
        return self._places.run / f"{what}.log"
