"""The Ceph cluster of labs, with its two kinds of outage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.lab import Ceph, Lab

pytestmark = pytest.mark.ceph


def test_images_survive_an_outage(ceph_cluster: Ceph) -> None:
    ceph_cluster.run("rbd", "create", "rbd/kept", "--size", "16M")
    ceph_cluster.stop()
    with pytest.raises(CellError):
        ceph_cluster.run("rbd", "ls", "rbd", timeout=2)
    ceph_cluster.start()
    assert "kept" in ceph_cluster.run("rbd", "ls", "rbd").split()
    ceph_cluster.freeze()
    with pytest.raises(CellError, match="no answer"):
        ceph_cluster.run("rbd", "ls", "rbd", timeout=2)
    ceph_cluster.thaw()
    assert "kept" in ceph_cluster.run("rbd", "ls", "rbd").split()


def test_two_side_by_side(ceph_cluster: Ceph, tmp_path: Path) -> None:
    with Ceph.up(tmp_path / "other") as other:
        other.run("rbd", "create", "rbd/mine", "--size", "16M")
        assert "mine" not in ceph_cluster.run("rbd", "ls", "rbd").split()
    assert not (tmp_path / "other").exists()


@pytest.mark.live
def test_a_host_reaches_its_lab_s_cluster() -> None:
    with Lab.up(f"ceph-{os.getpid()}", kernel="namespace", ceph=True, bound=True) as lab:
        lab.exec(["rbd", "create", "rbd/x", "--size", "16M"], check=True, timeout=30)
        assert lab.exec(["rbd", "ls"], timeout=30).stdout == "x\n"
        assert "ceph0" not in lab.nics
        assert (
            not Path("/etc/ceph/ceph.conf").exists()
            or str(lab.ceph.directory) not in Path("/etc/ceph/ceph.conf").read_text()
        )
