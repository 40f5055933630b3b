"""``make bench``: all figures of the README, each beside its floor."""

from __future__ import annotations

import os
import subprocess
import sys

from cell_reconciler.lab import Lab
from tests.bench import offline
from tests.bench.ansible_vms import environment
from tests.bench.images import images
from tests.bench.measure import compiled
from tests.bench.network import network
from tests.conftest import ROOT


def in_lab(module: str, *args: str) -> None:
    with Lab.up(name=f"bench-{os.getpid()}", kernel="namespace") as lab:
        argv = [sys.executable, "-m", f"tests.bench.{module}", str(lab.share / "specs"), *args]
        code = lab.popen(argv).wait()
        if code:
            raise SystemExit(code)


def on_host() -> None:
    in_lab("on_host")


def vms() -> None:
    in_lab("vms")


def ansible() -> None:
    """Beside Ansible; without a way to install it: say so."""
    try:
        place = environment()
    except subprocess.CalledProcessError as error:
        print(f"(ansible: it could not be installed: {error})", flush=True)
        return
    in_lab("ansible_vms", str(place))


BENCHES = {
    "startup": offline.startup,
    "specs": offline.specs,
    "host": on_host,
    "vms": vms,
    "ansible": ansible,
    "images": images,
    "network": network,
}


def main(names: list[str]) -> int:
    compiled(ROOT / "cell_reconciler", ROOT / "tests" / "bench")
    if names[:1] == ["network"]:  # the one with options of its own
        network(names[1:])
        return 0
    for name in names or list(BENCHES):
        if name not in BENCHES:
            print(f"{name!r} is not a benchmark; there are {', '.join(BENCHES)}", file=sys.stderr)
            return 2
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
