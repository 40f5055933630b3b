"""The whole command line as one argparse tree, for completion and documentation (``main`` builds one command only)."""

from __future__ import annotations

import argparse

from cell_reconciler.cli.main import COMMANDS, command_parser
from cell_reconciler.cli.options import Parser, add_global


def whole_parser() -> Parser:
    """Every command in the order of the table; it is looked at, and never parses anything."""
    parser = Parser(prog="cellctl", description="Declarative KVM hosts: YAML specs in, a converged host out.")
    add_global(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for name, (_, line) in COMMANDS.items():
        commands.add_parser(name, help=line)
        commands.choices[name] = command_parser(name)[0]
    return parser
