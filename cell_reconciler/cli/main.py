"""``cellctl``: finds the command, runs it, and turns whatever happens into a message and an exit code."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from io import TextIOWrapper
from types import FrameType, ModuleType

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import GLOBAL_DEFAULTS, Parser, add_global, nearest
from cell_reconciler.cli.usage import usage
from cell_reconciler.errors import CellError, UsageError, of_host

# command → (module, one line); the order is that of help, documentation and completion: from looking to acting.
COMMANDS: dict[str, tuple[str, str]] = {
    "validate": ("cell_reconciler.cli.validate", "check specs offline: file:line:col of every mistake"),
    "diff": ("cell_reconciler.cli.diff", "show what apply would do; changes nothing"),
    "plan": ("cell_reconciler.cli.plan", "diff, with the order of steps and their risk; saves it for apply"),
    "apply": ("cell_reconciler.cli.apply", "converge this host once"),
    "commit": ("cell_reconciler.cli.commit", "keep a change that 'apply --confirm-timeout' made"),
    "rollback": ("cell_reconciler.cli.rollback", "undo a change of the network that is not confirmed yet"),
    "run": ("cell_reconciler.cli.run", "converge this host and keep it so (the daemon)"),
    "get": ("cell_reconciler.cli.get", "table of resources and whether they are Ready"),
    "describe": ("cell_reconciler.cli.describe", "everything about one resource"),
    "events": ("cell_reconciler.cli.events", "what happened, newest last"),
    "history": ("cell_reconciler.cli.history", "what was applied when"),
    "observe": ("cell_reconciler.cli.observe", "snapshot of the host, for 'diff --live' elsewhere"),
    "cpu-baseline": ("cell_reconciler.cli.cpu_baseline", "the CPU that all hosts of a cluster can run, as a document"),
    "export": ("cell_reconciler.cli.export", "write specs for the network as it is"),
    "adopt": ("cell_reconciler.cli.adopt", "take over what exists as it is: marks only"),
    "trash": ("cell_reconciler.cli.trash", "volumes in the trash of their pools: list, restore, purge"),
    "graph": ("cell_reconciler.cli.graph", "draw NIC → bond → VLAN → bridge → VM → volume, and what is wrong"),
    "explain": ("cell_reconciler.cli.explain", "documentation of a kind or a field"),
    "schema": ("cell_reconciler.cli.schema", "JSON Schema for editors and CI"),
    "suspend": ("cell_reconciler.cli.suspend", "leave a resource alone for a while, with a reason"),
    "resume": ("cell_reconciler.cli.resume", "end a suspension"),
    "doctor": ("cell_reconciler.cli.doctor", "check this host and say what to do"),
    "boot": ("cell_reconciler.cli.boot", "bring back the last confirmed network (for the init system)"),
    "completion": ("cell_reconciler.cli.completion", "shell completion script"),
    "lab": ("cell_reconciler.cli.lab", "throw-away hosts on this machine, to try specs"),
}

_Handler = Callable[[int, FrameType | None], object] | int | None


class _Terminated(BaseException):
    """SIGTERM arrived."""


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script. Returns the exit code; never raises."""
    arguments = sys.argv[1:] if argv is None else argv
    verbose = any(a in ("-v", "-vv", "-vvv", "--verbose") for a in arguments)
    before = _on_sigterm(_terminate)
    _print_anything()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as error:  # argparse after --help and --version
        return error.code if isinstance(error.code, int) else exits.OK
    except BaseException as error:  # noqa: BLE001  # the last line of defence: a message instead of a traceback
        return _explain(error, verbose)
    finally:
        _on_sigterm(before)


def _explain(error: BaseException, verbose: bool) -> int:
    """Say what happened, and return its exit code."""
    match error:
        case CellError():
            _say(f"error: {error.message}", error.advice)
            return error.exit_code
        case BrokenPipeError():
            _discard_stdout()
            return exits.BROKEN_PIPE
        case KeyboardInterrupt():
            _say("interrupted")
            return exits.INTERRUPTED
        case _Terminated():
            _say("terminated")
            return exits.TERMINATED
        case OSError(filename=str(), strerror=str()) if not verbose:
            message, advice = of_host(error)
            _say(f"error: {message}", advice)
            return exits.FAILED
    return _unexpected(error, verbose)


def _run(argv: list[str]) -> int:
    args = argparse.Namespace(**GLOBAL_DEFAULTS)
    root_parser().parse_args(argv, args)
    name, rest = args.command, args.rest
    if name == "help":
        name, rest = (rest[0], ["--help"]) if rest else (None, ["--help"])
    if name is None:
        root_parser().print_help(sys.stdout if rest else sys.stderr)
        return exits.OK if rest else exits.USAGE
    parser, module = command_parser(name)
    if getattr(args, "specs", None) and not any(action.dest == "specs" for action in parser._actions):
        raise UsageError(f"{name} does not read specs", f"leave out -f; see 'cellctl {name} --help'")
    parser.parse_args(rest, args)
    return int(module.run(args) or exits.OK)


def root_parser() -> Parser:
    """The parser of what stands before the command; everything after it belongs to the command."""
    width = max(map(len, COMMANDS)) + 2
    table = "\n".join(f"  {name:<{width}}{line}" for name, (_, line) in COMMANDS.items())
    parser = Parser(
        prog="cellctl",
        usage="cellctl [global options] COMMAND [options]",
        description=f"Declarative KVM hosts: YAML specs in, a converged host out.\n\ncommands:\n{table}",
        epilog="examples:\n"
        "  cellctl validate -f specs/                   are the specs right?\n"
        "  cellctl diff -f specs/                       what would change here?\n"
        "  cellctl apply -f specs/                      make it so, once\n"
        "  cellctl run -f specs/                        keep it so\n"
        "  cellctl explain VirtualMachine.spec.disks    what can I write?\n\n"
        + exits.epilog(exits.MEANING)
        + "\n\n'cellctl COMMAND --help' explains a command.",
    )
    add_global(parser)
    parser.add_argument("-f", "--specs", action="append", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def command_parser(name: str) -> tuple[Parser, ModuleType]:
    """The parser and the module of a command. Raises UsageError, naming the nearest, for a word that is none.

    A module may declare ``EXITS`` (the codes it can end with) and ``EXAMPLES``; its docstring is the description.
    """
    if name not in COMMANDS:
        near = nearest(name, list(COMMANDS))
        raise UsageError(
            f"{name!r} is not a command" + (f"; did you mean {near!r}?" if near else ""), "see 'cellctl --help'"
        )
    try:
        module = import_module(COMMANDS[name][0])
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("cell_reconciler"):
            raise
        raise CellError(
            f"{name} needs the Python module {error.name}", "pip install 'cell-reconciler[host]'"
        ) from error
    parser = Parser(prog=f"cellctl {name}", description=(module.__doc__ or COMMANDS[name][1]).strip())
    add_global(parser)
    module.configure(parser)
    parser.usage = usage(parser).replace("%", "%%")
    examples = getattr(module, "EXAMPLES", "").strip("\n")
    codes = exits.epilog(getattr(module, "EXITS", exits.MEANING))
    parts = [parser.epilog, examples and f"examples:\n{examples}"]
    if "exit codes" not in (parser.epilog or ""):
        parts.append(codes)
    parser.epilog = "\n\n".join(part for part in parts if part)
    return parser, module


def _unexpected(error: BaseException, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exception(error)
    one_line = " ".join(str(error).split()) or "no message"
    _say(f"error: internal error: {type(error).__name__}: {one_line}", "" if verbose else "-v shows the traceback")
    return exits.FAILED


def _say(message: str, advice: str = "") -> None:
    """To stderr, which may be closed too."""
    from cell_reconciler.cli.render.style import escape

    try:
        print(escape(message, keep="\n"), file=sys.stderr)
        if advice:
            print(f"  {escape(advice, keep=chr(10))}", file=sys.stderr)
    except (BrokenPipeError, ValueError):
        pass


def _print_anything() -> None:
    """A terminal that cannot show a character gets its number, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_stdout() -> None:
    """Nobody reads stdout any more: keep the interpreter from complaining when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a handler
    raise _Terminated


def _on_sigterm(handler: _Handler) -> _Handler:
    """Install a handler and return the one before; signals belong to the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, signal.SIG_DFL if handler is None else handler)
