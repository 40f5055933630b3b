"""What needs no host: start-up, ten thousand spec files cold, and a rescan with nothing changed."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from cell_reconciler.load import Specs
from tests.bench.measure import CELLCTL, row, seconds
from tests.bench.specs import write

PARSE_ONLY = (
    "import sys, glob, yaml\n"
    "for name in glob.glob(sys.argv[1] + '/*.yaml'):\n"
    "    with open(name, 'rb') as file: list(yaml.load_all(file, yaml.CSafeLoader))\n"
)


def startup() -> None:
    bare = seconds([sys.executable, "-c", "pass"], 5)
    row("cellctl --help", f"{seconds([*CELLCTL, '--help'], 5) * 1000:.0f} ms", f"python {bare * 1000:.0f} ms", "150 ms")


def specs(count: int = 10_000) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write(directory, count)
        floor = seconds([sys.executable, "-c", PARSE_ONLY, name], 1)
        cold = seconds([*CELLCTL, "validate", "-f", name, "--host", "bench"], 2)
        row(f"validate {count} files, cold, whole process", f"{cold:.1f} s", f"PyYAML alone {floor:.1f} s", "12 s")
        source = Specs((name,), "bench")
        source.scan()
        times = []
        for _ in range(5):
            started = time.monotonic()
            source.scan()
            times.append(time.monotonic() - started)
        started = time.monotonic()
        for path in directory.iterdir():
            path.stat()
        stats = time.monotonic() - started
        row(
            f"rescan {count} files, nothing changed",
            f"{min(times) * 1000:.0f} ms",
            f"stat {stats * 1000:.0f} ms",
            "100 ms",
        )
