"""Wall clock of whole processes, and a table."""

from __future__ import annotations

import compileall
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROWS: list[tuple[str, str, str, str]] = []


def seconds(argv: Sequence[str], repeat: int = 3, ok: Sequence[int] = (0,)) -> float:
    """Best of ``repeat`` runs. Raises RuntimeError when a run ends with another code than ``ok``."""
    best = float("inf")
    for _ in range(repeat):
        started = time.monotonic()
        done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        best = min(best, time.monotonic() - started)
        if done.returncode not in ok:
            raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return best


def settle(patience: float = 300, quiet: float = 0.5) -> None:
    """Until the machine is quiet: emulated guests keep it busy while they look for something to boot.

    ``quiet``: the share of all processors that may be in use over two seconds; a hundred guests that wait use a third
    of two processors. Raises RuntimeError after ``patience`` seconds: what would be measured then is how processes
    share a processor.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        (idle, all_), _ = _ticks(), time.sleep(2)
        idle_now, all_now = _ticks()
        if 1 - (idle_now - idle) / max(1, all_now - all_) < quiet:
            return
    raise RuntimeError(f"the machine was not quiet within {patience:.0f} s")


def _ticks() -> tuple[int, int]:
    """Ticks in which processors had nothing to do, and all ticks (proc(5), /proc/stat)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def said(argv: Sequence[str]) -> float:
    """The seconds that a process measured itself. Raises CalledProcessError."""
    return float(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout)


def row(what: str, ours: str, floor: str, wanted: str) -> None:
    """One line of the table, printed at once."""
    ROWS.append((what, ours, floor, wanted))
    print(f"{what:<52} {ours:>14} {floor:>22}   wanted {wanted}", flush=True)


def compiled(*places: Path) -> None:
    """Byte code beside the source, as an installation has it: not what compiling takes at each start is measured."""
    for place in places:
        if not compileall.compile_dir(place, quiet=1):
            raise RuntimeError(f"{place} cannot be compiled")


CELLCTL = [sys.executable, "-m", "cell_reconciler.cli"]


def cellctl(directory: Path, *args: str) -> list[str]:
    """The command for the specs in a directory, with a state directory beside it."""
    state = directory.with_name("state")
    return [*CELLCTL, "--host", "bench", "--state-dir", str(state), "--no-progress", *args, "-f", str(directory)]
