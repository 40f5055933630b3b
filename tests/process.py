"""Runs a command for a test: captured, with a deadline, and with everything it printed in the failure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    code: int | None = 0,
    timeout: float = 120,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run and return; fails the test unless the exit code is ``code`` (None: any)."""
    done = subprocess.run(
        [str(a) for a in argv],
        cwd=cwd,
        env=None if env is None else dict(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if code is not None and done.returncode != code:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise AssertionError(f"{' '.join(map(str, argv))}: exit code {done.returncode}, not {code}\n{said}")
    return done
