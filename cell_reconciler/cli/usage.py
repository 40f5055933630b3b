"""The usage line of a command: what is its own, without the options that every command has."""

from __future__ import annotations

import argparse
from functools import cache

from cell_reconciler.cli.options import add_global

WIDTH = 100


@cache
def shared() -> frozenset[str]:
    """The option strings that every command has."""
    common = argparse.ArgumentParser()
    add_global(common)
    return frozenset(string for action in common._actions for string in action.option_strings)


def own(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments that belong to this command."""
    return [a for a in parser._actions if not shared() & set(a.option_strings) and a.help != argparse.SUPPRESS]


def usage(parser: argparse.ArgumentParser) -> str:
    """``cellctl diff [-f PATH] [--live FILE] …``"""
    words: list[str] = []
    for action in own(parser):
        text = " ".join(
            part for part in (action.option_strings[0] if action.option_strings else "", value(action)) if part
        )
        optional = action.nargs in ("?", "*") if not action.option_strings else not action.required
        words.append(f"[{text}]" if optional else text)
    lines = [parser.prog]
    for word in words:
        if len(lines[-1]) + len(word) >= WIDTH:
            lines.append(" " * 11)
        lines[-1] += f" {word}"
    return "\n".join(lines)


def value(action: argparse.Action) -> str:
    """What stands for the value of an argument; empty for a switch."""
    if action.nargs == 0:
        return ""
    if action.metavar:
        return str(action.metavar)
    if action.choices is not None and not isinstance(action, argparse._SubParsersAction):
        return "|".join(map(str, action.choices))
    return action.dest.upper()
