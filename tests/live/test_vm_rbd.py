"""A VM whose disk is an RBD image of a real Ceph cluster: QEMU opens it with the secret that libvirt holds.

And promise 8: while another client has the image open, the VM may run there, so it is not started here.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.lab import Lab, needs, wiring
from tests.live.hosts import SpecHost, text

pytestmark = [pytest.mark.live, pytest.mark.ceph]

SPECS = """
apiVersion: cell/v1
kind: Host
metadata: {name: h1}
spec: {domainType: qemu, overcommit: {cpu: 1000, memory: 100, disk: 1000}}
---
apiVersion: cell/v1
kind: StoragePool
metadata: {name: glue}
spec: {rbd: {monitors: [%(monitor)s], pool: rbd, user: admin, secret: {file: %(key)s}}}
---
apiVersion: cell/v1
kind: Volume
metadata: {name: web-root}
spec: {pool: glue, size: 16MiB}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: web}
spec:
  memory: {guest: 32MiB}
  disks: [{name: root, volume: web-root, discard: unmap}]
  runStrategy: Always
"""
# The same without a StoragePool: by a secret that somebody gave libvirt.
DIRECT = """
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: direct}
spec:
  memory: {guest: 32MiB}
  disks:
    - name: root
      source: {rbd: {monitors: [%(monitor)s], pool: rbd, image: %(image)s, user: admin, secret: {usage: by hand}}}
"""
SECRET = "<secret ephemeral='no' private='no'><usage type='ceph'><name>by hand</name></usage></secret>"
# Another host of the cluster: opens the image as QEMU does, and holds it until its input ends.
HOLD = """
import sys, rados, rbd
monitor, key, name = sys.argv[1:]
cluster = rados.Rados(rados_id="admin", conf={"mon_host": monitor, "keyfile": key})
cluster.connect()
image = rbd.Image(cluster.open_ioctx("rbd"), name)
image.size()
print("open", flush=True)
sys.stdin.read()
image.close()
"""


@pytest.fixture(scope="module")
def host() -> Iterator[SpecHost]:
    try:
        needs.require("namespace", "ceph")
    except CellError as error:
        pytest.skip(error.message)
    with Lab.up(name="test-vm-rbd", kernel="namespace", ceph=True, bound=True) as lab:
        made = SpecHost(lab)
        key = lab.share / "key"
        key.write_text(lab.ceph.run("ceph", "auth", "get-key", "client.admin").strip())
        made.write("specs.yaml", SPECS % {"monitor": wiring.CEPH_ADDRESS, "key": key})
        yield made


def applied(host: SpecHost, code: int) -> str:
    done = host.cellctl("apply", "--yes", "--allow", "cuts-vm")
    said = text(done.stdout) + text(done.stderr)
    assert done.returncode == code, said
    return said


@contextmanager
def held_elsewhere(host: SpecHost, image: str = "web-root") -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", HOLD, wiring.CEPH_ADDRESS, str(host.lab.share / "key"), image]
    client = host.lab.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == "open\n"
        yield client
    finally:
        client.communicate(timeout=30)  # it closes the image, if it was not killed


def state(host: SpecHost, name: str = "web") -> str:
    return host.sh("virsh", "domstate", name).strip()


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.5)


def test_runs_from_an_rbd_image(host: SpecHost) -> None:
    applied(host, 0)
    assert state(host) == "running"
    until(lambda: "watcher=" in host.lab.ceph.run("rbd", "status", "rbd/web-root"), 10)  # QEMU has it open
    assert "0 writing calls" in applied(host, 0)


def test_is_not_started_while_another_client_has_its_disk_open(host: SpecHost) -> None:
    applied(host, 0)
    host.sh("virsh", "destroy", "web")
    with held_elsewhere(host) as client:
        (watcher,) = json.loads(host.lab.ceph.run("rbd", "status", "rbd/web-root", "--format", "json"))["watchers"]
        assert f"open at {watcher['address']}" in applied(host, 1)
        assert state(host) == "shut off"
        client.send_signal(signal.SIGKILL)  # as a host that loses its power: Ceph forgets its watch after 30 s
        client.wait()
    until(lambda: host.cellctl("apply", "--yes").returncode == 0, 60)
    assert state(host) == "running"


def test_an_image_of_no_pool_is_watched_all_the_same(host: SpecHost) -> None:
    secret = host.lab.share / "secret.xml"
    secret.write_text(SECRET)
    said = host.sh("virsh", "secret-define", str(secret))
    uuid = next(word for word in said.split() if word.count("-") == 4)
    host.sh("virsh", "secret-set-value", uuid, "--file", str(host.lab.share / "key"))
    host.lab.ceph.run("rbd", "create", "--size", "16", "rbd/by-hand")
    direct = host.write("direct.yaml", DIRECT % {"monitor": wiring.CEPH_ADDRESS, "image": "by-hand"})
    with held_elsewhere(host, "by-hand"):
        assert "VM direct is not started: its disk root (rbd:rbd/by-hand) is open at" in applied(host, 1)
        assert state(host, "direct") == "shut off"
        host.write("direct.yaml", DIRECT % {"monitor": wiring.CEPH_ADDRESS, "image": "web-root"})
        done = host.cellctl("validate")
        assert "volume web-root is used by" in text(done.stdout) + text(done.stderr)
        host.write("direct.yaml", DIRECT % {"monitor": wiring.CEPH_ADDRESS, "image": "by-hand"})
    until(lambda: host.cellctl("apply", "--yes").returncode == 0, 60)
    assert state(host, "direct") == "running"
    assert "watcher=" in host.lab.ceph.run("rbd", "status", "rbd/by-hand")
    assert "0 writing calls" in applied(host, 0)
    host.sh("virsh", "destroy", "direct")
    direct.unlink()
