"""``make bench-network``: bond, VLANs and access bridges beside bare pyroute2 and ifupdown2, in one booted kernel.

The kernel is emulated, so that only ratios of one run mean anything, but for the two bounds that the project sets for
500 VLANs and bridges on just such a machine. ifupdown2 is fetched as a Debian package and unpacked, not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from cell_reconciler.lab import Lab
from tests.bench.floor_network import MEMBERS

MODULES = ("bonding", "8021q", "bridge", "dummy", "tun")


def network() -> None:
    """Boot, fetch the peer, measure inside."""
    with Lab.up(name="bench-network", kernel="vm", nics=[]) as lab:
        peer = lab.share / "ifupdown2"
        unpack("ifupdown2", peer)
        lab.exec(["modprobe", "--all", *MODULES], timeout=300, check=True)
        for name in MEMBERS:
            lab.exec(["ip", "link", "add", name, "type", "dummy"], timeout=60, check=True)
        argv = [sys.executable, "-m", "tests.bench.in_kernel", str(lab.share / "specs"), str(peer)]
        code = lab.popen(argv).wait()
        if code:
            raise SystemExit(code)


def unpack(package: str, target: Path) -> None:
    """Fetch a Debian package and unpack it below ``target``. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["apt-get", "-qq", "download", package], cwd=directory, check=True, stderr=subprocess.DEVNULL)
        (deb,) = Path(directory).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(target)], check=True)
