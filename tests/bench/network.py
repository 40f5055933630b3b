"""``make bench-network``: bond, VLANs and access bridges beside bare pyroute2 and ifupdown2, in one booted kernel.

User-mode-linux where it runs (``--kernel uml``), and the emulated machine of a lab where not (``--kernel vm``): there
Python is fifty times slower, and a real VM runs. Either is slow, so that only ratios of one run mean anything, but for
the bounds that the project sets for 500 VLANs and bridges on the emulated machine. ifupdown2 is fetched as a Debian
package and unpacked, not installed. What an event costs is measured on the running kernel too, with plain bridges.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cell_reconciler.lab import Lab
from tests.bench.in_kernel import PARTS
from tests.bench.measure import compiled
from tests.kernel import uml

LIMIT = 3600.0  # seconds for all of it in user-mode-linux


def network(args: Sequence[str] = ()) -> None:
    """Boot, fetch the peer, measure inside. Raises SystemExit with the code of what ran inside."""
    parser = argparse.ArgumentParser(prog="tests.bench network")
    parser.add_argument("--kernel", choices=("uml", "vm"), help="default: uml where it boots")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of plain, {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args(args)
    code = in_namespace() if not chosen.parts or "plain" in chosen.parts else 0
    parts = [part for part in chosen.parts if part != "plain"]
    if not code and (parts or not chosen.parts):
        kernel = chosen.kernel or ("uml" if uml.boots() else "vm")
        print(f"(kernel: {kernel}; load of this machine: {os.getloadavg()[0]:.1f})", flush=True)
        code = {"uml": in_uml, "vm": in_vm}[kernel](parts)
    if code:
        raise SystemExit(code)


def in_namespace() -> int:
    """What an event costs on the running kernel, which needs no VLANs for that."""
    print(f"(the running kernel; load of this machine: {os.getloadavg()[0]:.1f})", flush=True)
    with Lab.up(name="bench-network", kernel="namespace", nics=[]) as lab:
        argv = [sys.executable, "-m", "tests.bench.events", str(lab.share / "specs")]
        return lab.popen(argv).wait()


def in_uml(parts: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:  # its /tmp is its own
        peer = Path(directory, "ifupdown2")
        unpack("ifupdown2", peer)
        done = uml.Uml().run(inside("/tmp/bench/specs", peer, parts), timeout=LIMIT, memory="2G")
    print(done.stdout, end="", flush=True)
    return done.returncode


def in_vm(parts: Sequence[str]) -> int:
    with Lab.up(name="bench-network", kernel="vm", nics=[]) as lab:
        peer = lab.share / "ifupdown2"
        unpack("ifupdown2", peer)
        lab.exec(["modprobe", "--all", *uml.MODULES], timeout=300, check=True)
        return lab.popen(inside(str(lab.share / "specs"), peer, parts)).wait()


def inside(specs: str, peer: Path, parts: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "tests.bench.in_kernel", specs, str(peer), *parts]


def unpack(package: str, target: Path) -> None:
    """Fetch a Debian package, unpack it below ``target`` and compile it. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["apt-get", "-qq", "download", package], cwd=directory, check=True, stderr=subprocess.DEVNULL)
        (deb,) = Path(directory).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(target)], check=True)
    compiled(target / "usr")
