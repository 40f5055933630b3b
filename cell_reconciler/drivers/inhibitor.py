"""Holds systemd-logind's lock against sleep: while it is held, the host is neither suspended nor hibernated.

The lock is a file descriptor that logind gives out over D-Bus, and ends with whoever has it. ``systemd-inhibit`` speaks
that protocol and keeps the descriptor for as long as its command runs; the command is ``cat`` on a pipe of ours. So the
lock ends when we let go, when we die (the kernel closes the pipe), and when the helper is killed, which we see. No bus
library has to be there for it.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import subprocess

WHO = "cell-reconciler"
WHY = "virtual machines run on this host"
_TOOLS = ("systemd-inhibit", "elogind-inhibit")
_ANSWER = 30.0  # s; D-Bus itself gives up after 25 s


class Inhibitor:
    """One lock, held or not. Not for use by several threads at a time."""

    def __init__(self) -> None:
        self._helper: subprocess.Popen[bytes] | None = None

    @property
    def held(self) -> bool:
        return self._helper is not None and self._helper.poll() is None

    def hold(self) -> str:
        """Take the lock; empty when it is held, else why it is not. Returns when logind has answered."""
        if self.held:
            return ""
        self.release()
        tool = next((path for name in _TOOLS if (path := shutil.which(name))), None)
        if tool is None:
            return "systemd-inhibit is not installed"
        argv = [tool, "--what=sleep", "--mode=block", f"--who={WHO}", f"--why={WHY}", "cat"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        helper = subprocess.Popen(argv, **pipes)  # type: ignore[call-overload] # three pipes, by their names
        # cat starts when the lock was given; what it echoes tells that it runs.
        with contextlib.suppress(OSError):
            helper.stdin.write(b".")
            helper.stdin.flush()
        ready, _, _ = select.select([helper.stdout], [], [], _ANSWER)
        self._helper = helper
        if ready and helper.stdout.read(1):
            return ""
        said = "" if not ready else helper.stderr.read(500).decode(errors="replace").strip().splitlines()
        self.release()
        return said[-1] if said else "logind does not answer"

    def release(self) -> None:
        """Let go of the lock, and of the helper."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        for pipe in (helper.stdin, helper.stdout, helper.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            helper.wait(timeout=2)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.wait()


def holders() -> list[str] | None:
    """The locks against sleep that logind knows of, a line each as it lists them; None when it does not answer."""
    tool = next((path for name in _TOOLS if (path := shutil.which(name))), None)
    if tool is None:
        return None
    try:
        done = subprocess.run(
            [tool, "--list", "--no-pager"], capture_output=True, text=True, timeout=_ANSWER, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [line for line in done.stdout.splitlines() if " sleep" in line] if done.returncode == 0 else None
