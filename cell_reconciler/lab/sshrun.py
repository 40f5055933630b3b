"""Runs a command in a booted host by SSH as if it were run here; a program of its own, like ``nsrun.py``.

SSH carries streams, terminal and exit code, but no signals (OpenSSH never sends RFC 4254 §6.9 requests) and not the
death of the client, and its command line is text for a shell. So the request (directory, environment, argv) goes
through a file of the shared directory that only root reads, the remote command is a verb and a token, and each
signal is brought by a connection of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import subprocess
from pathlib import Path
from typing import NoReturn

SI_KERNEL = 128
RELAYED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT}
NOT_PASSED = {"SSH_AUTH_SOCK", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"}


def request(folder: Path, place: str, cwd: str, argv: list[str]) -> str:
    """Write the request for guest-exec.sh; returns its token."""
    token = secrets.token_hex(8)
    environment = [f"{name}={value}" for name, value in os.environ.items() if name not in NOT_PASSED]
    words = [place, cwd, str(len(environment)), *environment, *argv]
    handle = os.open(folder / token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(b"".join(b":" + _escape(os.fsencode(word)) + b"\n" for word in words))
    return token


def _escape(word: bytes) -> bytes:
    """As printf %b reads it."""
    return word.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def relay(ssh: list[str], token: str, number: int) -> None:
    """Send a signal to the command that runs under ``token``."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [*ssh, "-T", "host", "signal", token, str(number)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )


def main() -> NoReturn:
    """Run it; exits as the command does (128+N if signal N ended it), 255 if the host is unreachable."""
    parser = argparse.ArgumentParser(prog="sshrun")
    parser.add_argument("--config", required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--place", required=True)
    parser.add_argument("--cwd", required=True)
    parser.add_argument("--tty", action="store_true")
    parser.add_argument("argv", nargs="+")
    args = parser.parse_args()
    ssh = ["ssh", "-F", args.config]
    token = request(args.requests, args.place, args.cwd, args.argv)
    watched = RELAYED | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if child == 0:
        if not args.tty:
            os.setpgid(0, 0)  # ^C is for the command, which gets it from us; without SSH we could not tell its end
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.execvp(ssh[0], [*ssh, "-tt" if args.tty else "-T", "host", "run", token])  # noqa: S606
    while True:
        info = signal.sigwaitinfo(watched)
        if info.si_signo == signal.SIGCHLD:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                (args.requests / token).unlink(missing_ok=True)
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        elif info.si_signo == signal.SIGHUP and os.getppid() != 0:
            # Our parent is outside this PID namespace (seen as 0); another number says that it was killed.
            relay(ssh, token, signal.SIGKILL)
            os._exit(255)
        elif not (args.tty and info.si_code == SI_KERNEL):  # a terminal's own signals travel as characters
            relay(ssh, token, info.si_signo)


if __name__ == "__main__":
    main()
