"""``cellctl apply`` in a lab host: an image is imported and cloned once; other content never becomes a volume."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MIB = 2**20
SPECS = """\
apiVersion: cell/v1
kind: StoragePool
metadata: {{name: local}}
spec: {{directory: {{path: "{share}/images"}}}}
---
apiVersion: cell/v1
kind: Volume
metadata: {{name: golden}}
spec:
  pool: local
  size: 64MiB
  source: {{file: {{path: "{share}/golden.raw", checksum: "sha256:{checksum}"}}}}
---
apiVersion: cell/v1
kind: Volume
metadata: {{name: a-clone}}
spec:
  pool: local
  size: 80MiB
  source: {{clone: {{volume: golden}}}}
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab.up(name="source", kernel="namespace", bound=True) as up:
        yield up


def cellctl(lab: Lab, *args: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "cell_reconciler.cli", "--state-dir", f"{lab.share}/state", *args]
    done = lab.exec([*argv, "-f", f"{lab.share}/specs"], check=False)
    return done.returncode, done.stdout + done.stderr


def test_imported_and_cloned_once(lab: Lab) -> None:
    golden, images, specs = (lab.share / name for name in ("golden.raw", "images", "specs"))
    content = b"debian" * 4 * MIB
    golden.write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    specs.mkdir()
    (specs / "a.yaml").write_text(SPECS.format(share=lab.share, checksum=checksum[::-1]))
    code, said = cellctl(lab, "apply", "--yes")
    assert code != 0
    assert f"has checksum sha256:{checksum}" in said
    assert list(images.glob("*.raw")) == list(images.glob(".cell/*.tmp")) == []

    (specs / "a.yaml").write_text(SPECS.format(share=lab.share, checksum=checksum))
    code, said = cellctl(lab, "apply", "--yes")
    assert code == 0, said
    assert (images / "golden.raw").read_bytes() == content.ljust(64 * MIB, b"\0")
    assert (images / "a-clone.raw").read_bytes() == content.ljust(80 * MIB, b"\0")
    golden.unlink()
    code, said = cellctl(lab, "diff", "--exit-code")
    assert code == 0, said
