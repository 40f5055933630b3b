"""What a lab might leave on the machine."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cell_reconciler.lab.state import Places


def links() -> list[dict[str, Any]]:
    """The machine's own links, without their counters."""
    return list(json.loads(subprocess.run(["ip", "-j", "link"], check=True, capture_output=True).stdout))


def traces(name: str) -> list[str]:
    """Processes, mounts and directories that belong to the lab ``name``."""
    places = Places.of(name)
    own = {str(places.run), str(places.work)}
    found = [path for path in own if Path(path).exists()]
    found += [
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if any(f"{path}/" in line for path in own)
    ]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if f"LAB_NAME={name}" in environment or any(f"{path}/" in command for path in own):
            found.append(f"{entry.name} {command}")
    return found


def members(pid: int) -> list[int]:
    """PIDs of all processes in the network namespace of ``pid``."""
    wanted = Path(f"/proc/{pid}/ns/net").readlink()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/net").readlink() == wanted:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def runs(pid: int) -> bool:
    """Is ``pid`` a process that is no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait(condition: Callable[[], object], seconds: float = 15.0) -> bool:
    """Wait until ``condition`` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
