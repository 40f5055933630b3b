"""The units of examples/systemd under a real systemd: their sandbox lets them work, and the guard outlives its service.

Systemd runs as process 1 of a process namespace, with files of its own over /etc, /var/lib and /run.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.network import ip, isolated
from tests.spaces import Space

pytestmark = pytest.mark.kernel

STATE = "/var/lib/cell-reconciler"
SPECS = """
apiVersion: cell/v1
kind: Reconciler
metadata: {name: settings}
spec: {confirmTimeout: 10s, allow: cuts-management}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-MGMT}
spec: {uplink: %s, addresses: [10.9.0.2/24], routes: [{to: default, via: 10.9.0.1}]}
"""
# The units as they are shipped, but for the path of the program, which is in a checkout that may lie below /home. No
# restart, so that nobody but the guard is left.
SETUP = """
set -e
mount -t tmpfs run /run
for place in /etc /var/lib; do
    mkdir -p /run/over$place/upper /run/over$place/work
    mount -t overlay over -o lowerdir=$place,upperdir=/run/over$place/upper,workdir=/run/over$place/work $place
done
[ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 cgroup /sys/fs/cgroup
systemd-id128 new >/etc/machine-id
units=/run/systemd/system
mkdir -p /etc/cell-reconciler/specs $units
for unit in cell-network cell-reconciler; do
    sed 's|/usr/local/bin/cellctl|/run/cellctl|' examples/systemd/$unit.service >$units/$unit.service
    mkdir -p $units/$unit.service.d
    printf '[Service]\\nBindReadOnlyPaths=%(root)s %(prefix)s\\n' >$units/$unit.service.d/checkout.conf
done
case $(systemctl --version) in
"systemd 25"[3-9]*|"systemd 2"[6-9]*) ;;
*) cp examples/systemd/cell-reconciler.service.d/systemd-252.conf $units/cell-reconciler.service.d/ ;;
esac
printf '[Service]\\nRestart=no\\n' >$units/cell-reconciler.service.d/no-restart.conf
printf '[Unit]\\nDefaultDependencies=no\\n' >$units/nothing.target
printf '#!/bin/sh\\ncd %(root)s && exec %(python)s -m cell_reconciler.cli "$@"\\n' >/run/cellctl
chmod 755 /run/cellctl
exec /lib/systemd/systemd --system --unit=nothing.target --log-target=null --show-status=no
"""


class Host:
    """A host with systemd, managed by eno1; the cable of eno2 leads nowhere."""

    def __init__(self) -> None:
        subprocess.run(["modprobe", "overlay"], check=True)
        self.gateway = Space("eno1", "one")
        self.gateway.run("address add 10.9.0.1/24 dev one")
        ip("link set lo up")
        ip("link add eno2 type veth peer name nowhere")
        places = {"root": str(ROOT), "python": sys.executable, "prefix": sys.base_prefix}
        script = SETUP % {name: shlex.quote(place) for name, place in places.items()}
        unshare = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "env", "container=test"]
        self._outer = subprocess.Popen([*unshare, "sh", "-c", script], cwd=ROOT)
        until(lambda: bool(self._children()), 10)
        (self._init,) = self._children()
        until(lambda: self.sh("systemctl is-system-running") in ("running", "degraded"), 60)

    def _children(self) -> list[str]:
        return Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()

    def end(self) -> None:
        os.kill(int(self._init), signal.SIGKILL)  # and with it, everything in its namespace
        self._outer.wait(30)

    def sh(self, script: str) -> str:
        argv = ["nsenter", "-t", self._init, "-p", "-m", "sh", "-c", script]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False).stdout.strip()

    def declare(self, uplink: str) -> None:
        self.sh(f"cat >/etc/cell-reconciler/specs/a.yaml <<'END'{SPECS % uplink}END")

    def start(self, unit: str) -> None:
        said = self.sh(f"systemctl restart {unit} || journalctl --no-pager -n 30 -u {unit}")
        assert not said, said

    def port(self, nic: str) -> bool:
        return "master br-MGMT" in ip(f"link show {nic}")

    def reached(self) -> bool:
        argv = ["ping", "-c", "1", "-W", "1", "10.9.0.2"]
        return bool(self.gateway.inside(lambda: subprocess.run(argv, capture_output=True, check=False).returncode == 0))

    def guards(self) -> list[str]:
        return self.sh("pgrep -f [c]ell_reconciler.converge.guard").split()  # not this very command line

    def pending(self) -> bool:
        return "yes" in self.sh(f"cd {STATE}; test -e pending.json && echo yes; test -e reverting.json && echo yes")


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.2)


@isolated
def test_the_guard_outlives_its_service_and_the_boot_unit_brings_the_network_back() -> None:
    host = Host()
    try:
        host.start("cell-network")  # nothing was confirmed yet
        host.declare("eno1")
        host.start("cell-reconciler")
        until(host.reached, 60)
        until(lambda: "10.9.0.2/24" in host.sh(f"cat {STATE}/network.json"), 30)

        host.declare("eno2")
        until(lambda: host.port("eno2"), 60)
        host.sh("kill -9 $(systemctl show -p MainPID --value cell-reconciler)")
        until(lambda: host.sh("systemctl is-active cell-reconciler") == "failed", 20)
        host.sh("systemctl stop cell-reconciler")
        assert host.guards()
        assert host.pending()
        assert not host.reached()
        until(lambda: not host.pending() and host.reached(), 30)
        assert host.port("eno1")
        until(lambda: not host.guards(), 10)

        ip("link del br-MGMT")
        ip("link set eno1 down")
        host.start("cell-network")
        until(host.reached, 10)
        assert "default via 10.9.0.1 dev br-MGMT" in ip("route")
    finally:
        host.end()
