"""Fixtures: a host of namespaces, a booted host and a Ceph cluster, each shared by a session.

A lab is slow to make (1 s, 20 s or more, 3 s) and cheap to use; tests that change its state give it back as it was, or
make one of their own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.lab import Ceph, Lab, needs

__all__ = ["ceph_cluster", "kernel_lab", "lab"]


def need(*parts: str) -> None:
    """Skip, saying why, on a machine that cannot do it (with CI=true a skip is a failure: see conftest)."""
    try:
        needs.require(*parts)
    except CellError as error:
        pytest.skip(f"{error}: {error.advice}")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A host of namespaces."""
    need("namespace")
    with Lab.up(f"ns-{os.getpid()}", kernel="namespace", bound=True) as host:
        yield host


@pytest.fixture(scope="session")
def kernel_lab() -> Iterator[Lab]:
    """A booted host: the one with bonding, 8021q and dummy."""
    need("namespace", "vm")
    with Lab.up(f"vm-{os.getpid()}", kernel="vm", bound=True) as host:
        yield host


@pytest.fixture(scope="session")
def ceph_cluster() -> Iterator[Ceph]:
    """A Ceph cluster on this machine's loopback, on ports of its own."""
    need("ceph")
    with tempfile.TemporaryDirectory(prefix="cell-ceph-") as base, Ceph.up(Path(base) / "c") as cluster:
        yield cluster
