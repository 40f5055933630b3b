"""``cellctl lab``: throw-away hosts on this machine."""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

from cell_reconciler.cli.render import json
from cell_reconciler.errors import UsageError
from cell_reconciler.lab import DEFAULT_NAME, DEFAULT_NICS, KERNELS, Lab, LabInfo

EXAMPLES = """
  cellctl lab up                                    # start host h1
  cellctl lab up h2 --kernel vm --ceph              # another one, with a kernel of its own and a Ceph cluster
  cellctl lab up h3 --nic eno1 --nic eno2           # with these NICs and no others
  cellctl lab exec h1 -- ip -brief link             # run a command there
  cellctl lab exec h1 -- bash                       # a shell there
  cellctl lab exec h1 -- cellctl apply -f specs/    # converge it
  cellctl lab status --format json
  cellctl lab down --all
"""
ABOUT = """\
Throw-away KVM hosts on this machine, for trying specs and for tests. Needs root.

A lab changes nothing of this machine: its network, libvirt, mounts and files are its own, and all of them are gone
after `down`, or when the lab crashes.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands up, exec, status and down."""
    parser.description = ABOUT
    commands = parser.add_subparsers(dest="lab_command", metavar="COMMAND", required=True)

    up = commands.add_parser("up", help="start a host", description="Start a host in which libvirtd runs.")
    up.add_argument(
        "name", nargs="?", default=DEFAULT_NAME, help="name of the lab and of its host (default: %(default)s)"
    )
    up.add_argument(
        "--kernel",
        choices=KERNELS,
        default="auto",
        help="namespace: on the running kernel, starts in 1 s; vm: boots the distribution's kernel, starts in "
        "about 20 s; auto (default): namespace if the running kernel has bonding and 8021q, else vm",
    )
    up.add_argument("--ceph", action="store_true", help="with a Ceph cluster, reached over NIC ceph0, and pool rbd")
    up.add_argument(
        "--nic",
        action="append",
        dest="nics",
        metavar="NAME",
        help=f"a NIC of the host; may be given several times (default: {' '.join(DEFAULT_NICS)})",
    )

    execute = commands.add_parser(
        "exec",
        help="run a command in a host",
        usage="%(prog)s [NAME] -- COMMAND ...",
        description="Run a command in a host, in the same directory; exits as the command does.",
    )
    # One list for both: argparse drops the first "--", and which words were before it only sys.argv would tell.
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="[NAME] -- COMMAND ...")

    status = commands.add_parser("status", help="list the labs", description="List the labs of this machine.")
    status.add_argument("--format", choices=("text", "json"), default="text")

    down = commands.add_parser("down", help="end a host", description="End a lab and remove all that belongs to it.")
    down.add_argument("name", nargs="?", default=None, help=f"name of the lab (default: {DEFAULT_NAME})")
    down.add_argument("--all", action="store_true", help="end all labs")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; raises CellError."""
    command: str = args.lab_command
    return {"up": _up, "exec": _exec, "status": _status, "down": _down}[command](args)


def _up(args: argparse.Namespace) -> int:
    lab = Lab.up(args.name, kernel=args.kernel, nics=args.nics or DEFAULT_NICS, ceph=args.ceph, progress=_progress)
    _progress(f"host {lab.name} is up; a shell there: cellctl lab exec {lab.name} -- bash")
    return 0


def _exec(args: argparse.Namespace) -> int:
    name, command = _split(args.words)
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    lab = Lab.get(name)
    process = subprocess.Popen(lab.shell_argv(command, tty=tty))
    with _ignored(signal.SIGINT, signal.SIGQUIT):  # typed at the terminal they are for the command
        code = process.wait()
    return code if code >= 0 else 128 - code


def _status(args: argparse.Namespace) -> int:
    labs = Lab.list()
    if args.format == "json":
        json.write({"formatVersion": json.FORMAT_VERSION, "labs": [_plain(lab) for lab in labs]}, sys.stdout)
        return 0
    if not labs:
        _progress("no labs; start one: cellctl lab up")
        return 0
    print(f"{'NAME':<12} {'STATUS':<9} {'KERNEL':<10} {'CEPH':<5} {'PID':<8} {'NICS':<30} SHARE")
    for lab in labs:
        nics, ceph, pid = ",".join(lab.nics), "yes" if lab.ceph else "no", lab.pid or "-"
        print(f"{lab.name:<12} {lab.status:<9} {lab.kernel:<10} {ceph:<5} {pid:<8} {nics:<30} {lab.share}")
    return 0


def _down(args: argparse.Namespace) -> int:
    if args.all and args.name:
        raise UsageError("a name and --all exclude each other")
    wanted = [lab.name for lab in Lab.list()] if args.all else [args.name or DEFAULT_NAME]
    for name in wanted:
        lab = Lab.find(name)
        if lab is None:
            _progress(f"there is no lab {name!r}; nothing to do")
            continue
        lab.down()
        _progress(f"lab {name} is gone")
    return 0


def _split(words: list[str]) -> tuple[str, list[str]]:
    """``[NAME] [--] COMMAND ...`` into name and command; raises UsageError if there is no command."""
    before = words.index("--") if "--" in words[:2] else -1
    name, command = words[:before] if before >= 0 else words[:1], words[before + 1 :] if before >= 0 else words[1:]
    if not command:
        raise UsageError("no command given", "cellctl lab exec [NAME] -- COMMAND ...")
    return name[0] if name else DEFAULT_NAME, command


@contextlib.contextmanager
def _ignored(*numbers: signal.Signals) -> Iterator[None]:
    """Ignore signals for a while."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _plain(lab: LabInfo) -> dict[str, object]:
    return {field: getattr(lab, field) for field in lab.__struct_fields__}


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
