"""A lab with a running ``cellctl run`` in it, for the tests of the daemon."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from cell_reconciler.lab import Lab
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.key import Key
from cell_reconciler.status.store import StatusStore
from tests.live.hosts import CELLCTL, HOST_AND_POOL

BASE = f"""{HOST_AND_POOL}apiVersion: cell/v1
kind: Bridge
metadata: {{name: br-VM}}
spec: {{uplink: eth1}}
"""

VM = """
apiVersion: cell/v1
kind: Volume
metadata: {name: root-%(name)s}
spec: {pool: local, size: 16MiB}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: %(name)s}
spec:
  memory: {guest: 32MiB}
  disks: [{name: root, volume: root-%(name)s}]
  interfaces: [{name: net0, bridge: br-VM}]
  runStrategy: Always
"""


CLEAN = """
pidof libvirtd >/dev/null || libvirtd -d >/dev/null 2>&1
for name in $(virsh -q list --all --name); do
    virsh -q destroy "$name" 2>/dev/null
    virsh -q undefine "$name" >/dev/null
done
for link in br-VM br-spare noise; do ip link del "$link" 2>/dev/null; done
rm -rf /var/lib/libvirt/images/cell
"""


def within(seconds: float, true: Callable[[], bool]) -> float:
    """Seconds until ``true``; fails the test when that is more than allowed."""
    start = time.monotonic()
    while not true():
        passed = time.monotonic() - start
        assert passed < seconds, f"not true after {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - start


class RunHost:
    """The lab's host, its specs, and the daemon."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.specs = lab.share / "specs"
        self.state = lab.share / "state"
        self.log = lab.share / "run.log"
        self.specs.mkdir(exist_ok=True)
        self.status = StatusStore(self.state)
        self.daemon: subprocess.Popen[Any] | None = None

    # the host

    def sh(self, *argv: str) -> str:
        """Output of a command in the host; fails the test when it fails."""
        done = self.lab.exec(argv, timeout=60)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return str(done.stdout).strip()

    def cellctl(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.lab.exec([*CELLCTL, "--host", "h1", "--state-dir", str(self.state), *argv], timeout=120)

    def write(self, name: str, text: str) -> None:
        """As an editor does: another file, then a rename."""
        temporary = self.specs / f".{name}.tmp"
        temporary.write_text(text)
        temporary.replace(self.specs / name)

    def link(self, name: str) -> dict[str, Any]:
        """What ``ip link`` says; empty when there is no such link."""
        done = self.lab.exec(["ip", "-j", "-d", "link", "show", name], timeout=20)
        return dict(json.loads(done.stdout)[0]) if done.returncode == 0 else {}

    def domain_state(self, name: str) -> str:
        done = self.lab.exec(["virsh", "-q", "domstate", name], timeout=20)
        return str(done.stdout).strip()

    # the daemon

    def start(self, *options: str) -> None:
        """Starts it, and returns when it watches."""
        mark = len(self.lines())
        argv = [*CELLCTL, "--host", "h1", "--state-dir", str(self.state), "run", "-v", "--log-format", "json"]
        with self.log.open("ab") as log:
            self.daemon = self.lab.popen([*argv, "-f", str(self.specs), *options], stdout=log, stderr=log)
        within(20, lambda: any(line.get("event") == "watching" for line in self.lines()[mark:]))

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.daemon is not None
        self.daemon.send_signal(number)
        code = self.daemon.wait(30)
        self.daemon = None
        return code

    def clean(self) -> None:
        """End the daemon and take away everything that it made, by hand, so that the next test starts afresh."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(10)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait(10)
        self.sh("sh", "-c", CLEAN)
        for path in self.specs.iterdir():
            path.unlink()
        shutil.rmtree(self.state, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        found = []
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            try:
                found.append(dict(json.loads(line)))
            except ValueError:
                found.append({"event": line})
        return found

    def seconds(self, op: str) -> float:
        """How long the last step of this kind took by its own account."""
        return float([line["seconds"] for line in self.lines() if line.get("op") == op][-1])

    def ready(self, key: str) -> Condition | None:
        status = self.status.get(Key.parse(key))
        return status.condition("Ready") if status else None

    def is_ready(self, *keys: str) -> bool:
        return all((c := self.ready(key)) is not None and c.status == "True" for key in keys)

    def settle(self, *keys: str) -> None:
        """Wait until these are Ready and nothing was logged for half a second."""
        within(20, lambda: self.is_ready(*keys))
        while True:
            count = len(self.lines())
            time.sleep(0.5)
            if len(self.lines()) == count:
                return


def vm(name: str) -> str:
    return VM % {"name": name}


def kill_libvirtd(host: RunHost) -> None:
    """SIGKILL of the lab's own libvirtd, by its pid file or the process list of the lab's namespace."""
    host.sh("sh", "-c", "kill -KILL $(pidof libvirtd)")


def start_libvirtd(host: RunHost) -> None:
    host.sh("sh", "-c", "libvirtd -d >/dev/null 2>&1")
