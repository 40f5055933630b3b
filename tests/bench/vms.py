"""New VMs, defined and started: ``cellctl apply`` beside a bare loop of the same calls, in turns, in one lab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import CELLCTL, row, seconds, settle
from tests.bench.specs import write

COUNT = int(os.environ.get("BENCH_NEW_VMS", "100"))
ROUNDS = 2
FLOOR = [sys.executable, str(Path(__file__).with_name("floor_vms.py"))]


def main(directory: Path) -> None:
    definitions = directory.with_name("definitions")
    definitions.mkdir()
    apply = [*CELLCTL, "--host", "bench", "apply", "-f", str(directory), "--yes"]
    write(directory, 0)
    subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)  # the bridge is there before
    write(directory, COUNT, run="Always")
    ours = floor = again = float("inf")
    for _ in range(ROUNDS):
        ours = min(ours, seconds(apply, 1))
        settle()
        again = min(again, seconds(apply, 3))
        for name in virsh("list", "--all", "--name").split():
            (definitions / name).write_text(virsh("dumpxml", "--inactive", name))
        wipe()
        floor = min(floor, seconds([*FLOOR, "make", str(definitions)], 1))
        wipe()
    what = f"{COUNT} new VMs, defined and started"
    row(what, f"{ours:.2f} s", f"bare loop {floor:.2f} s", f"1.3 x floor, is {ours / floor:.2f} x")
    row("... again, nothing to do", f"{again:.2f} s", "", "")


def virsh(*args: str) -> str:
    """What virsh says."""
    return subprocess.run(["virsh", "--quiet", *args], check=True, capture_output=True, text=True).stdout


def wipe() -> None:
    """Take all VMs of this host away."""
    subprocess.run([*FLOOR, "wipe"], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
