"""Makes and enters namespaces: a program of its own, run as ``python -I -S nsrun.py init|enter ...``.

It is stand-alone (standard library only, no import of this package) because it is PID 1 of each namespace of
a lab and the wrapper around each command run there: it has to start in 15 ms and hold few pages.

Why not ``unshare(1)`` and ``nsenter(1)``: ``nsenter --pid`` does not pass signals on and leaves its child
running when it is killed; PID 1 must reap orphans (libvirt's ``destroy`` waits for ever for a qemu that
nobody reaps); and the machine needs the PID of a process two PID namespaces down, which only credentials
on a socket tell (``SCM_CREDENTIALS``, unix(7): the kernel translates the PID for the receiver).

What the kernel promises and the lab builds on (pid_namespaces(7)): when PID 1 of a PID namespace dies, every
process in it, nested namespaces included, gets SIGKILL, and PID 1 is not gone before they are. Mounts and
networks die with the last process that holds them. So one SIGKILL ends a host, and one ends a lab.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import socket
from typing import NoReturn

ALL = ["mnt", "net", "ipc", "uts", "pid"]
CLONE = {
    "mnt": 0x00020000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
SI_KERNEL = 128  # siginfo code of a signal typed at the terminal: the whole process group already got it
FORWARDED = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGWINCH,
}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    """Raise OSError for a libc call that failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def join(pid: int, kinds: list[str]) -> None:
    """Enter the namespaces of process ``pid``; that of PIDs counts for the children forked afterwards."""
    # All are opened before the first is entered: after "mnt" another /proc may be in force.
    handles = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds}
    for kind, handle in handles.items():
        _check(_libc.setns(handle, CLONE[kind]), f"setns {kind}")
        os.close(handle)


def unshare(kinds: list[str]) -> None:
    """Leave for new namespaces; with ``mnt``, no mount made here is seen outside."""
    flags = 0
    for kind in kinds:
        flags |= CLONE[kind]
    _check(_libc.unshare(flags), "unshare")
    if "mnt" in kinds:
        _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make / private")


def init(args: argparse.Namespace) -> NoReturn:
    """Become PID 1 of new namespaces, run the set-up command, report, then reap for ever.

    The report socket gets ``born`` (with our PID as credentials), then ``ready`` or ``failed <exit>``; what
    the set-up command printed is in its log. With ``--bound FD`` (a pidfd) PID 1 ends with that process;
    ``free`` and ``bind`` on the report socket switch that off and on.
    """
    report = socket.socket(fileno=args.report)
    report.set_inheritable(False)
    if args.bound is not None:
        os.set_inheritable(args.bound, False)
    if args.join:
        join(args.join, ALL)
        if os.fork():
            os._exit(0)
    unshare(args.new)
    if os.fork():
        os._exit(0)
    os.setsid()
    if "mnt" in args.new:  # a fresh /proc, or `ps` would show the PIDs of the namespace we came from
        _check(_libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    report.send(b"born")
    setup = _spawn(args.argv) if args.argv else 0
    if not setup:
        report.send(b"ready")
    _reap_for_ever(wake, report, args.bound, setup)


def _reap_for_ever(wake: int, report: socket.socket, bound: int | None, setup: int) -> NoReturn:
    """The life of PID 1: reap, end with ``bound`` (a pidfd, while we are tied to it), obey the report socket."""
    tied = bound is not None
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(report.fileno(), select.POLLIN)
    while True:
        if bound is not None and tied:
            poll.register(bound, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wake in ready:
            os.read(wake, 4096)
            _reap(setup, report)
        # Read to the end before `bound` counts: a creator may say "free" and end at once.
        while (message := _receive(report)) is not None:
            if not message:  # its end is closed
                poll.unregister(report.fileno())
                report.close()
                break
            tied = message == b"bind"
        if bound is not None and not tied:
            with contextlib.suppress(KeyError):
                poll.unregister(bound)
        elif bound in ready:
            os._exit(0)


def _receive(report: socket.socket) -> bytes | None:
    """The next message, b"" at the end of all, None if there is none now."""
    try:
        return report.recv(64, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""
    except OSError:  # closed by us before
        return None


def _spawn(argv: list[str]) -> int:
    """Start the set-up command; the daemons it leaves behind must not inherit Python's ignored SIGPIPE."""
    return os.posix_spawnp(argv[0], argv, os.environ, setsigdef=[signal.SIGPIPE])


def _reap(setup: int, report: socket.socket) -> None:
    """Reap all dead children; tell of the set-up command's end."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid == setup:
                code = os.waitstatus_to_exitcode(status)
                with contextlib.suppress(OSError):
                    report.send(b"ready" if code == 0 else b"failed %d" % code)


def enter(args: argparse.Namespace) -> NoReturn:
    """Run a command in the namespaces of ``--pid`` as if it were run here: streams, signals, exit."""
    try:
        join(args.pid, args.kinds)
    except OSError:  # it was cut off between the caller's look and ours
        os.write(2, b"the host is off\n")
        os._exit(255)
    os.chdir("/")
    for folder in (args.cwd, "/"):
        with contextlib.suppress(OSError):
            os.chdir(folder)
            break
    if args.tty:
        from_pty(args.argv, args.death)
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        execute(args.argv, args.death)
    while True:
        info = signal.sigwaitinfo(FORWARDED | {signal.SIGCHLD})
        if info.si_signo == signal.SIGCHLD:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                leave(status)
        elif info.si_code != SI_KERNEL:
            os.kill(child, info.si_signo)


def execute(argv: list[str], death: int) -> NoReturn:
    """Become ``argv``, killed when the wrapper is; exit 127 or 126 as shells do when that fails."""
    _libc.prctl(PR_SET_PDEATHSIG, death, 0, 0, 0)  # 0: none
    # Python ignores SIGPIPE; a command run in a lab expects the default.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - that no shell is between is the point
    except FileNotFoundError:
        os.write(2, f"{argv[0]}: command not found\n".encode())
        os._exit(127)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(126)


def leave(status: int) -> NoReturn:
    """End as the child ended: with its exit code, or by the same signal (no core of the wrapper)."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def from_pty(argv: list[str], death: int) -> NoReturn:
    """Run on a terminal of its own: job control needs a session whose PIDs belong to that namespace."""
    import pty
    import termios
    import tty

    child, master = pty.fork()
    if child == 0:
        execute(argv, death)

    def resize(*_: object) -> None:
        with contextlib.suppress(OSError):
            termios.tcsetwinsize(master, termios.tcgetwinsize(0))

    resize()
    signal.signal(signal.SIGWINCH, resize)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(child, received))
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        with contextlib.suppress(OSError):  # EIO: the last process on the terminal closed it
            _copy(master)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
    leave(os.waitpid(child, 0)[1])


def _copy(master: int) -> None:
    """Copy between our terminal and the child's until the child's is closed."""
    sources = [0, master]
    while True:
        for descriptor in select.select(sources, [], [])[0]:
            data = os.read(descriptor, 65536)
            if not data and descriptor == master:
                return
            if not data:
                sources.remove(0)
            os.write(1 if descriptor == master else master, data)


def main() -> NoReturn:
    """Parse the command line; see ``init`` and ``enter``."""
    parser = argparse.ArgumentParser(prog="nsrun")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("init")
    one.add_argument("--join", type=int, help="PID whose namespaces the new ones are made in")
    one.add_argument("--new", type=lambda text: text.split(","), required=True)
    one.add_argument("--report", type=int, required=True, help="file descriptor of a SOCK_SEQPACKET socket")
    one.add_argument("--bound", type=int, help="pidfd: end when that process ends")
    one.set_defaults(action=init)
    two = commands.add_parser("enter")
    two.add_argument("--pid", type=int, required=True)
    two.add_argument("--kinds", type=lambda text: text.split(","), default=ALL)
    two.add_argument("--cwd", default="/")
    two.add_argument("--tty", action="store_true")
    two.add_argument("--death", type=int, default=signal.SIGKILL, help="signal to the child if we are killed")
    two.set_defaults(action=enter)
    for command in (one, two):
        command.add_argument("argv", nargs="*")
    args = parser.parse_args()
    args.action(args)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    main()
