"""Print a completion script for your shell. It is static: nothing runs when you press TAB.

Commands, options, their choices, files and kinds are completed.
"""

from __future__ import annotations

import argparse
import sys

from cell_reconciler.cli import exits
from cell_reconciler.errors import CellError

EXITS = (exits.OK, exits.FAILED, exits.USAGE)
EXAMPLES = """
  cellctl completion bash > /etc/bash_completion.d/cellctl
  cellctl completion zsh > "${fpath[1]}/_cellctl"
"""
SHELLS = ("bash", "zsh", "fish", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")


def run(args: argparse.Namespace) -> int:
    try:
        import shtab
    except ModuleNotFoundError:
        raise CellError(
            "completion needs the Python module shtab", "pip install 'cell-reconciler[completion]'"
        ) from None
    from cell_reconciler.cli.whole import whole_parser

    if args.shell not in shtab.SUPPORTED_SHELLS:
        raise CellError(f"this version of shtab does not know {args.shell}", "pip install --upgrade shtab")

    parser = whole_parser()
    ways = {"file": shtab.FILE, "directory": shtab.DIRECTORY, "kind": {**_KIND, "fish": _kinds()}}
    for action in _actions(parser):
        if hasattr(action, "completes"):
            action.complete = ways[action.completes]  # type: ignore[attr-defined]  # as shtab's manual says
    sys.stdout.write(shtab.complete(parser, shell=args.shell, preamble=_preamble(args.shell)))
    return exits.OK


_KIND = {"bash": "_cellctl_kinds", "zsh": "_cellctl_kinds", "tcsh": "f"}


def _kinds() -> str:
    from cell_reconciler.kinds import KINDS

    return " ".join(f"{name}/" for name in KINDS)


def _preamble(shell: str) -> str:
    """The kinds, with a slash after which the name is typed."""
    words = _kinds()
    return {
        "bash": f'_cellctl_kinds() {{ compopt -o nospace 2>/dev/null; compgen -W "{words}" -- "$1"; }}\n',
        "zsh": f"_cellctl_kinds() {{ compadd -S '' -- {words}; }}\n",
    }.get(shell, "")


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Every argument of a parser and of its commands."""
    found = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found += _actions(inner)
    return found
