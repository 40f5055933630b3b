"""Check this host: is everything there that a reconciler needs, and if not, what is to be done.

Each check is ok, warn (something will not work, or not well) or fail (nothing will work). Changes nothing. With
specs (-f or the system's directory) it looks at their pools and at the domain type of this host too.
"""

from __future__ import annotations

import argparse
import sys

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_specs, use_color

EXITS = (exits.OK, exits.FAILED, exits.USAGE)
EXAMPLES = """
  cellctl doctor
  cellctl doctor -f specs/ --format json
"""
_SIGN = {"ok": "+", "warn": "!", "fail": "-"}
_COLOR = {"ok": "green", "warn": "yellow", "fail": "red"}


def configure(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    import msgspec

    from cell_reconciler.cli.checks import examine
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import Style, escape

    found = examine(args)
    failed = any(check.result == "fail" for check in found)
    if args.format == "json":
        checks = [msgspec.to_builtins(check) for check in found]
        json.write({"formatVersion": json.FORMAT_VERSION, "ok": not failed, "checks": checks}, sys.stdout)
        return exits.FAILED if failed else exits.OK
    style = Style(use_color(args))
    width = max(len(check.name) for check in found)
    for check in found:
        sign = style.paint(f"{_SIGN[check.result]} {check.result:<4}", _COLOR[check.result])
        print(f"{sign}  {check.name:<{width}}  {escape(check.message)}")
        if check.advice and check.result != "ok":
            print(f"{'':<{width + 10}}{escape(check.advice)}")
    counts = {result: sum(check.result == result for check in found) for result in _SIGN}
    print(f"{counts['ok']} ok, {counts['warn']} warn, {counts['fail']} fail")
    return exits.FAILED if failed else exits.OK
