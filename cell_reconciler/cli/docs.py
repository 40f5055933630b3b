"""``python -m cell_reconciler.cli.docs --write docs/reference/cli.md``: the command reference, from the parsers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cell_reconciler.cli import exits
from cell_reconciler.cli.main import COMMANDS, command_parser
from cell_reconciler.cli.options import add_global
from cell_reconciler.cli.usage import own, usage, value

_HEAD = """\
# Command reference

<!-- Made by `python -m cell_reconciler.cli.docs --write`; change the commands, not this page. -->

`cellctl [global options] COMMAND [options]`. The result goes to stdout; progress, questions and errors go to stderr.
"""


def page() -> str:
    """The whole page."""
    lines = [_HEAD, "## Exit codes", "", "| Code | Meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in exits.MEANING.items()]
    lines += [
        f"| {exits.INTERRUPTED}, {exits.TERMINATED}, {exits.BROKEN_PIPE} | ended by SIGINT, SIGTERM, a closed pipe |",
        "",
        "When several hold: 1, then 5, 4, 6, 7, 3.",
        "",
    ]
    common = argparse.ArgumentParser(add_help=False)
    add_global(common)
    lines += ["## Global options", "", "They stand before or after the command.", "", *_options(common._actions), ""]
    for name in COMMANDS:
        lines += _command(name)
    return "\n".join(lines).rstrip() + "\n"


def _command(name: str) -> Iterator[str]:
    parser, _ = command_parser(name)
    yield from (f"## {name}", "", parser.description or "", "", "```", usage(parser), "```", "")
    yield from _options(own(parser))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from ("", f"### {name} {word}", "", inner.description or "", "", "```", usage(inner), "```", "")
                yield from _options(own(inner))
    if parser.epilog:
        yield from ("", "```", parser.epilog, "```")
    yield ""


def _options(actions: Sequence[argparse.Action]) -> Iterator[str]:
    if not actions:
        return
    yield from ("| Option | Meaning |", "|---|---|")
    for action in actions:
        left = f"{', '.join(action.option_strings)} {value(action)}".strip()
        yield f"| `{_cell(left)}` | {_cell(action.help or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(argv: list[str] | None = None) -> int:
    """Write the page, or check that the written one is fresh."""
    parser = argparse.ArgumentParser(prog="python -m cell_reconciler.cli.docs", description=main.__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--write", nargs="?", type=Path, const=Path("docs/reference/cli.md"), metavar="FILE")
    way.add_argument("--check", nargs="?", type=Path, const=Path("docs/reference/cli.md"), metavar="FILE")
    args = parser.parse_args(argv)
    if args.write is not None:
        args.write.parent.mkdir(parents=True, exist_ok=True)
        args.write.write_text(page(), encoding="utf-8")
        return 0
    if args.check.is_file() and args.check.read_text(encoding="utf-8") == page():
        return 0
    print(f"{args.check} is stale; run: python -m cell_reconciler.cli.docs --write {args.check}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
