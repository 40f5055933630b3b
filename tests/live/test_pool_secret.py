"""The libvirt secret of an RBD pool, on a real libvirtd: kept in place, changed with its file, deleted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab

pytestmark = pytest.mark.live

INSIDE = """
import sys
from cell_reconciler.drivers import Doors
from cell_reconciler.kinds.storage_pool.actions import DeleteSecret, KeepSecret
from cell_reconciler.kinds.storage_pool.target import secret_uuid
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Secret
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget

FIRST, SECOND = "QVFCU2RGaG5BQUFBQUJBQXFSM21Ya2Q0", "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhl"
file = sys.argv[1]
target = PoolTarget(
    name="glue", backend="rbd", user="cell", secret_file=file, secret_uuid=secret_uuid("glue"), monitors=("::1",)
)
doors = Doors()
keep = KeepSecret(target, "cell glue", Mark(Key("StoragePool", "glue"), "0" * 16))
for key in (FIRST, SECOND):
    open(file, "w").write(key)
    assert not keep.done(doors)
    keep.do(doors)
    assert keep.done(doors)
    before = doors.writes.total
    assert keep.done(doors)
    assert doors.writes.total == before
secret = doors.libvirt.observe(())["secrets"]["cell glue"]
assert isinstance(secret, Secret)
assert (secret.uuid, secret.description) == (secret_uuid("glue"), "cell/v1;StoragePool/glue;" + "0" * 16)
gone = DeleteSecret(secret.uuid)
assert not gone.done(doors)
gone.do(doors)
assert gone.done(doors)
gone.do(doors)
for key in (FIRST, SECOND):
    assert key not in repr((target, keep, secret))
print("all done", doors.writes.calls)
doors.close()
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    up = Lab.up(name="poolsecret", kernel="namespace", bound=True)
    yield up
    up.down()


def test_it_is_kept_in_place(lab: Lab, tmp_path: Path) -> None:
    done = lab.exec([sys.executable, "-c", INSIDE, str(tmp_path / "key")], check=False)
    assert done.returncode == 0, done.stderr
    assert "all done" in str(done.stdout)
