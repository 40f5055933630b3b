"""Options that commands share: each is declared here once, and read by name from the parsed arguments.

``args.host`` is None unless given (``host_name`` answers then); ``args.specs`` is a list of paths or absent
(``spec_paths`` answers then); ``args.state_dir``, ``args.connect``, ``args.color``, ``args.verbose`` (a count),
``args.quiet`` and ``args.progress`` are always there.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from cell_reconciler import __version__
from cell_reconciler.errors import UsageError

SPECS_DIR = "/etc/cell-reconciler/specs"
STATE_DIR = "/var/lib/cell-reconciler"
CONNECT = "qemu:///system"
RISKS = ("none", "blip", "disruptive", "cuts-management", "cuts-vm")  # of model.change.Risk, which help need not load
GLOBAL_DEFAULTS = {
    "host": None,
    "state_dir": STATE_DIR,
    "connect": CONNECT,
    "color": "auto",
    "verbose": 0,
    "quiet": False,
    "progress": True,
}


class Parser(argparse.ArgumentParser):
    """argparse that raises ``UsageError`` instead of ending the process, and that keeps line breaks in help."""

    def __init__(self, *, prog: str, **kwargs: object) -> None:
        super().__init__(
            prog=prog,
            allow_abbrev=False,  # an abbreviation that works today is ambiguous tomorrow
            conflict_handler="resolve",  # a command may give a global option its own meaning
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,  # type: ignore[arg-type]  # passed on as they are
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}{self._hint(message)}", f"see '{self.prog} --help'")

    def _hint(self, message: str) -> str:
        """``; did you mean '--format'?`` for an option that is nearly right."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown == message:
            return ""
        known = [option for action in self._actions for option in action.option_strings]
        near = nearest(unknown.split()[0].partition("=")[0], known)
        return f"; did you mean {near!r}?" if near else ""


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant."""
    from difflib import get_close_matches

    found = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return found[0] if found else None


def add_global(parser: argparse.ArgumentParser) -> None:
    """The options that may stand before or after the command."""
    group = parser.add_argument_group("global options (before or after the command)")
    suppress = argparse.SUPPRESS  # the defaults come from GLOBAL_DEFAULTS, so that neither place undoes the other
    group.add_argument(
        "--host", metavar="NAME", default=suppress, help="the host's name (default: the system's host name)"
    )
    group.add_argument(
        "--state-dir", metavar="DIR", default=suppress, help=f"status, history, journal (default {STATE_DIR})"
    )
    group.add_argument("--connect", metavar="URI", default=suppress, help=f"libvirt connection (default {CONNECT})")
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default=suppress,
        help="NO_COLOR and FORCE_COLOR in the environment come first (default auto: on a terminal)",
    )
    group.add_argument(
        "-v", "--verbose", action="count", default=suppress, help="say more; tracebacks of internal errors"
    )
    group.add_argument("-q", "--quiet", action="store_true", default=suppress, help="only the result and errors")
    group.add_argument(
        "--no-progress", dest="progress", action="store_false", default=suppress, help="no progress lines"
    )
    group.add_argument("--version", action="version", version=f"cellctl {__version__}", help="print the version")


def completes(action: argparse.Action, what: str) -> argparse.Action:
    """Say what an argument is completed with: ``file``, ``directory`` or ``kind`` (read by ``completion``)."""
    action.completes = what  # type: ignore[attr-defined]  # argparse actions are open; shtab does the same
    return action


def add_specs(parser: argparse.ArgumentParser, purpose: str = f"default {SPECS_DIR}") -> None:
    """``-f/--specs PATH``, repeatable: files or directories."""
    action = parser.add_argument(
        "-f",
        "--specs",
        metavar="PATH",
        action="append",
        default=argparse.SUPPRESS,
        help=f"spec file or directory, repeatable ({purpose})",
    )
    completes(action, "file")


def add_format(parser: argparse.ArgumentParser, *formats: str) -> None:
    """``--format``; the first is the default."""
    parser.add_argument("--format", choices=formats, default=formats[0], help=f"of the result (default {formats[0]})")


def add_planning(parser: argparse.ArgumentParser) -> None:
    """What narrows or widens a plan: the same options for diff, plan and apply, so that they show the same."""
    parser.add_argument(
        "--allow",
        metavar="RISK",
        choices=RISKS,
        help=f"highest risk that is permitted: {', '.join(RISKS)} (default: the settings document, else blip)",
    )
    parser.add_argument(
        "--prune",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="delete what is ours and declared no more (default: the settings document)",
    )
    action = parser.add_argument(
        "--only",
        metavar="KIND/NAME",
        action="append",
        default=[],
        help="only this resource and what it refers to, repeatable",
    )
    completes(action, "kind")


def parse_duration(text: str) -> float:
    """``90s`` → 90.0, as the type of an argument. Raises ArgumentTypeError with the rule."""
    from cell_reconciler.model.quantities import Duration

    try:
        return Duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def host_name(args: argparse.Namespace) -> str:
    """``--host``, else the system's host name."""
    return str(args.host or os.uname().nodename)


def spec_paths(args: argparse.Namespace) -> tuple[str, ...]:
    """The paths given with ``-f``, else the system's directory. Raises UsageError when that is not there."""
    given = tuple(getattr(args, "specs", None) or ())
    if not given and not os.path.isdir(SPECS_DIR):
        raise UsageError(f"no specs: {SPECS_DIR} does not exist", "name a file or directory with -f PATH")
    return given or (SPECS_DIR,)


def use_color(args: argparse.Namespace, stream: object = None) -> bool:
    """NO_COLOR > FORCE_COLOR > --color > is it a terminal (no-color.org: set and not empty)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if args.color != "auto":
        return bool(args.color == "always")
    stream = stream or sys.stdout
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM") != "dumb"
