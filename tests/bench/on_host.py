"""What needs a host: runs inside a lab (``tests.bench.__main__`` starts it there).

A thousand VMs are defined through ``cellctl apply`` itself, a few of them running; then ``diff`` beside its floor, the
time from a file event to the first writing call, and an idle ``run``.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.measure import CELLCTL, row, said, seconds
from tests.bench.specs import VM, write

COUNT = int(os.environ.get("BENCH_VMS", "1000"))
RUNNING = 4  # emulated guests without an OS keep a core busy each now and then: more of them would measure that
IDLE_SECONDS = int(os.environ.get("BENCH_IDLE_SECONDS", "300"))
OPTIONS = ["--host", "bench"]


def main(directory: Path) -> None:
    write(directory, COUNT)
    for index in range(RUNNING):
        (directory / f"vm-{index:05d}.yaml").write_text(VM.format(index=index, rack=0, run="Always"))
    apply = [*CELLCTL, *OPTIONS, "apply", "-f", str(directory), "--yes"]
    started = time.monotonic()
    subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
    print(f"(defined {COUNT} VMs and started {RUNNING} in {time.monotonic() - started:.1f} s)", flush=True)
    bare = [sys.executable, str(Path(__file__).with_name("floor_diff.py"))]
    both = [sys.executable, "-m", "tests.bench.observe_vms", str(directory)]
    turns = [(said(bare), said(both)) for _ in range(5)]
    least, most = (min(side) for side in zip(*turns, strict=True))
    row(
        f"full observation and comparison of {COUNT} VMs",
        f"{most:.2f} s",
        f"bare reads {least:.2f} s",
        f"3 x floor, is {most / least:.1f} x",
    )
    floor = seconds(bare, 5)
    ours = seconds([*CELLCTL, *OPTIONS, "diff", "--exit-code", "-f", str(directory)], 5)
    row(
        f"diff of {COUNT} VMs in sync, whole process",
        f"{ours:.2f} s",
        f"bare script {floor:.2f} s",
        f"4 x floor, is {ours / floor:.1f} x",
    )
    run(directory)


def run(directory: Path) -> None:
    """``cellctl run``: latency of file events, then its cost when nothing happens."""
    daemon = subprocess.Popen(
        [*CELLCTL, *OPTIONS, "run", "-f", str(directory), "--log-format", "json"], stderr=subprocess.DEVNULL
    )
    try:
        wait_quiet(daemon.pid)
        latencies = [file_to_write(directory, index) for index in range(30)]
        p95 = statistics.quantiles(latencies, n=20)[-1]
        median = statistics.median(latencies)
        row(
            f"file event to first writing call, {COUNT} VMs",
            f"p95 {p95 * 1000:.0f} ms",
            f"median {median * 1000:.0f} ms",
            "300 ms",
        )
        print("(slowest: " + ", ".join(f"{s * 1000:.0f}" for s in sorted(latencies)[-5:]) + " ms)", flush=True)
        time.sleep(10)
        cpu = cpu_seconds(daemon.pid)
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(daemon.pid) - cpu) / IDLE_SECONDS
        row(f"idle run with {COUNT} VMs, {IDLE_SECONDS} s", f"{share:.2%} of a core", "", "1 %")
        row("memory of run (RSS)", f"{rss(daemon.pid) / 2**20:.0f} MiB", "", "150 MB")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


def wait_quiet(pid: int) -> None:
    """Until the daemon is through with its first pass: it has worked, and for two seconds it has not."""
    deadline = time.monotonic() + 120
    before = 0.0
    while time.monotonic() < deadline:
        time.sleep(2)
        now = cpu_seconds(pid)
        if now > 0.3 and now - before < 0.05:
            return
        before = now
    raise RuntimeError("run was not quiet within 120 s")


def file_to_write(directory: Path, index: int) -> float:
    """From the rename of a new spec file to the definition of its domain, as libvirtd's own file shows it."""
    name = f"new-{index:03d}"
    text = VM.format(index=90_000 + index, rack=0, run="Halted").replace(f"vm-{90_000 + index:05d}", name)
    temporary = directory / f".{name}.tmp"
    temporary.write_text(text)
    target = Path(f"/etc/libvirt/qemu/{name}.xml")
    started = time.monotonic()
    temporary.rename(directory / f"{name}.yaml")
    while not target.exists():
        if time.monotonic() - started > 10:
            raise RuntimeError(f"{name} was not defined within 10 s")
        time.sleep(0.002)
    elapsed = time.monotonic() - started
    time.sleep(1.0)
    return elapsed


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
