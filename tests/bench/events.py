"""What one event of the kernel costs ``cellctl run`` with a thousand access bridges in place: its CPU time.

Many events are made, one at a time, since the kernel counts CPU time by its ticks; what the process takes when nothing
happens is taken off.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.floor_network import FIRST
from tests.bench.measure import cellctl, row
from tests.bench.on_host import cpu_seconds, wait_quiet

HOST = """apiVersion: cell/v1
kind: Host
metadata: {name: bench}
spec: {domainType: qemu}
"""
PLAIN = """---
apiVersion: cell/v1
kind: Bridge
metadata: {{name: br-VM.{vid}}}
spec: {{}}
"""
COUNT = 40
PAUSE = 0.25  # seconds between events: each is an event of its own, and is answered when the next one comes
FLOOR = [sys.executable, str(Path(__file__).with_name("floor_event.py"))]


def main(directory: Path) -> None:
    """In a namespace: bridges without a way out."""
    directory.mkdir(parents=True)
    (directory / "host.yaml").write_text(HOST)
    for start in range(FIRST, FIRST + 1000, 500):  # a file may have a thousand documents
        text = "".join(PLAIN.format(vid=vid) for vid in range(start, start + 500))
        (directory / f"bridges-{start}.yaml").write_text(text)
    subprocess.run(cellctl(directory, "apply", "--yes"), check=True, stdout=subprocess.DEVNULL)
    measure(cellctl(directory, "run", "--interval", "24h"), "1,000 plain bridges")


def measure(run: list[str], where: str) -> None:
    """``run`` is the command; its bridges are there and in sync."""
    with process(FLOOR) as floor:
        time.sleep(3)
        bound = f"RTM_GETLINK {cost(floor, mtu) * 1000:.1f} ms"
    with process(run) as daemon:
        wait_quiet(daemon)
        idle = cost(daemon, nothing) / PAUSE
        for what, event in EVENTS.items():
            found = cost(daemon, event, idle)
            row(f"{where}: {what}", f"{found * 1000:.1f} ms", bound, "20 ms of CPU")
        found = cost(daemon, repaired, idle)
        row("... a bridge set down, and its repair", f"{found * 1000:.1f} ms", "", "(several events and looks)")


@contextmanager
def process(argv: list[str]) -> Iterator[int]:
    """Its number, while it runs."""
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def nothing(index: int) -> None:
    """At rest."""


def mtu(index: int) -> None:
    """What no document names."""
    ip(f"link set br-VM.{FIRST + 500} mtu {1400 + index}")


def address(index: int) -> None:
    """What somebody else adds is left alone."""
    ip(f"address {'del' if index % 2 else 'add'} 10.9.0.1/24 dev br-VM.{FIRST + 501}")


def stranger(index: int) -> None:
    """A link that nobody declares."""
    ip(f"link set lo mtu {60000 + index}")


def repaired(index: int) -> None:
    """What is ours; another bridge each time, since one that is repaired three times is left alone."""
    name = f"br-VM.{FIRST + 2 * index}"
    ip(f"link set {name} down")
    deadline = time.monotonic() + 20
    while not subprocess.run(["ip", "link", "show", name, "up"], check=True, capture_output=True).stdout:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} was not brought up")
        time.sleep(0.05)


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


EVENTS: dict[str, Callable[[int], None]] = {
    "another MTU": mtu,
    "a foreign address": address,
    "a link that is nobody's": stranger,
}


def cost(pid: int, event: Callable[[int], None], idle: float = 0.0) -> float:
    """Seconds of CPU for one event, without the ``idle`` share of a CPU that the process takes at rest."""
    before, started = cpu_seconds(pid), time.monotonic()
    for index in range(COUNT):
        event(index)
        time.sleep(PAUSE)
    return (cpu_seconds(pid) - before - idle * (time.monotonic() - started)) / COUNT


if __name__ == "__main__":
    main(Path(sys.argv[1]))
