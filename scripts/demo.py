#!/usr/bin/env python3
"""The demo of `make run`: a throw-away host, converged to specs/ by the real command line.

On a terminal it stays and keeps the host so: edit a file in specs/ (a booted host sees it within 30 s, since no event
crosses its file system), or break something with `cellctl lab exec demo -- ...`, and watch. Otherwise it checks that
everything is Ready and that a second diff is empty, and exits 0. However it ends, the lab ends with it (`bound`: also
when this process is killed).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from cell_reconciler.errors import CellError, Unreachable
from cell_reconciler.lab import Lab

PATIENCE = 600.0  # seconds for the sources of a new host to answer
ROOT = Path(__file__).resolve().parent.parent
CELLCTL = str(Path(sys.executable).with_name("cellctl"))
HOST = "demo"  # the Host document of specs/ that is for this; the name of the lab is free


def main() -> int:
    """Returns the exit code of the first command that failed, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", default="demo", help="of the lab")
    parser.add_argument("--kernel", choices=("auto", "namespace", "vm"), default="auto")
    parser.add_argument("--specs", type=Path, default=ROOT / "specs")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        with Lab.up(name=args.name, kernel=args.kernel, progress=say, bound=True) as lab:
            say(f"host up after {time.monotonic() - started:.0f} s")
            return demo(lab, args.specs.resolve(), stay=sys.stdin.isatty() and sys.stdout.isatty())
    except CellError as error:
        say(f"{error.message}; {error.advice}" if error.advice else error.message)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def demo(lab: Lab, specs: Path, *, stay: bool) -> int:
    """Converge, show, and stay or check."""
    files = ("-f", str(specs))
    # A booted host probes its emulators first, under emulation: exit code 5 says that libvirt did not answer yet.
    deadline = time.monotonic() + PATIENCE
    while (code := cellctl(lab, "apply", *files, "--yes")) == Unreachable.exit_code and time.monotonic() < deadline:
        say("a source did not answer yet; once more")
    code = code or cellctl(lab, "apply", *files, "--yes", "--wait=3m")  # nothing to do: 0 writing calls
    shown = cellctl(lab, "get")
    say("bridge link: what is plugged into what, as the kernel has it")
    subprocess.run(lab.shell_argv(["bridge", "link"], tty=False), stdin=subprocess.DEVNULL, check=False)
    if code := code or shown:
        return code
    if stay:
        say(f"watching {specs}; Ctrl-C ends the host")
        return cellctl(lab, "run", *files)
    if code := cellctl(lab, "diff", *files, "--exit-code"):
        say("the second diff is not empty")
        return code
    say("all Ready, and the second diff is empty")
    return 0


def cellctl(lab: Lab, *words: str) -> int:
    """Run a command in the host on our own streams; on a terminal, on one: colours and Ctrl-C are as there."""
    say(f"cellctl {' '.join(words)}")
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    argv = lab.shell_argv([CELLCTL, "--host", HOST, *words], tty=tty)
    return subprocess.run(argv, stdin=None if tty else subprocess.DEVNULL, check=False).returncode


def say(text: str) -> None:
    """Progress, to standard error."""
    sys.stderr.write(f"== {text}\n")


if __name__ == "__main__":
    sys.exit(main())
