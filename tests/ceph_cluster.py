"""The Ceph of the lab, once for a whole test run, and what the tests of the drivers do to it."""

from __future__ import annotations

import atexit
import os
import re
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.lab import needs
from cell_reconciler.lab.ceph import POOL, Ceph
from cell_reconciler.model.storage import PoolTarget


class CephCluster:
    """A running cluster; ``key_file`` holds the key of ``client.cell``, which may use RBD and nothing else."""

    pool = POOL
    user = "cell"

    def __init__(self) -> None:
        self.ceph = Ceph.up(Path(tempfile.mkdtemp(prefix="cell-ceph-")))
        match = re.search(r"v2:([0-9.]+:[0-9]+)", self.ceph.conf.read_text())
        assert match
        self.monitors = (match[1],)
        self.run("ceph", "auth", "get-or-create", f"client.{self.user}", "mon", "profile rbd", "osd", "profile rbd")
        self.key_file = self.ceph.directory / "cell.key"
        self.key_file.write_text(self.run("ceph", "auth", "get-key", f"client.{self.user}"))
        self.key_file.chmod(0o600)

    def run(self, *argv: str) -> str:
        return self.ceph.run(*argv)

    def target(self, pool: str, **more: str) -> PoolTarget:
        facts = {"name": "glue", "user": self.user, "secret_file": str(self.key_file), "secret_uuid": str(uuid.uuid4())}
        return PoolTarget(backend="rbd", monitors=self.monitors, pool=pool, **(facts | more))

    def new_place(self) -> PoolTarget:
        """An RBD namespace of its own for one test: made in milliseconds, where a pool takes seconds."""
        import rbd

        namespace = uuid.uuid4().hex
        with self.ioctx(self.target(self.pool)) as ioctx:
            rbd.RBD().namespace_create(ioctx, namespace)
        return self.target(self.pool, namespace=namespace)

    @contextmanager
    def ioctx(self, target: PoolTarget) -> Iterator[Any]:
        """As the administrator, past the door."""
        import rados

        with (
            rados.Rados(conffile=str(self.ceph.conf), rados_id="admin") as handle,
            handle.open_ioctx(target.pool) as ioctx,
        ):
            ioctx.set_namespace(target.namespace)
            yield ioctx

    def freeze(self, *daemons: str) -> None:
        self._kill(daemons, signal.SIGSTOP)

    def thaw(self, *daemons: str) -> None:
        self._kill(daemons, signal.SIGCONT)

    def _kill(self, daemons: tuple[str, ...], number: int) -> None:
        pids = self.ceph._pids()  # the lab freezes all daemons at once; an outage of one differs
        for daemon in daemons:
            os.kill(pids[f"ceph-{daemon}"], number)
            while number == signal.SIGSTOP and not _stopped(pids[f"ceph-{daemon}"]):
                time.sleep(0.01)


def _stopped(pid: int) -> bool:
    """A thread has to run before all of them stop: on a busy machine that takes a moment."""
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


@cache
def shared() -> CephCluster:
    """One cluster for the whole test run."""
    cluster = CephCluster()
    atexit.register(cluster.ceph.down)
    return cluster


@pytest.fixture(scope="session", name="ceph")
def ceph_fixture() -> CephCluster:
    try:
        needs.require("ceph")
    except CellError as error:
        pytest.skip(error.message)
    return shared()
