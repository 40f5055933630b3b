"""Files that are made from the declarations and kept in the repository: write them, or tell which are stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path


def generate(
    parser: argparse.ArgumentParser, default: Path, wanted: Mapping[str, str], remedy: str, argv: list[str] | None
) -> int:
    """``--write [DIR]`` or ``--check [DIR]``: exit 0, or 1 when a file is stale, missing or left over."""
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--write", nargs="?", type=Path, const=default, metavar="DIR", help=f"write into DIR ({default})")
    way.add_argument("--check", nargs="?", type=Path, const=default, metavar="DIR", help="fail when DIR is stale")
    args = parser.parse_args(argv)
    if args.check is not None:
        wrong = stale(args.check, wanted)
        for line in wrong:
            sys.stderr.write(f"{line}; run {remedy}\n")
        return 1 if wrong else 0
    args.write.mkdir(parents=True, exist_ok=True)
    for path in _left_over(args.write, wanted):
        path.unlink()
    for name, text in wanted.items():
        (args.write / name).write_text(text, encoding="utf-8")
    return 0


def stale(directory: Path, wanted: Mapping[str, str]) -> list[str]:
    """One line for every file that is not as it must be."""
    lines = [f"{path} is of no kind" for path in _left_over(directory, wanted)]
    for name, text in wanted.items():
        path = directory / name
        if not path.is_file():
            lines.append(f"{path} is missing")
        elif path.read_text(encoding="utf-8") != text:
            lines.append(f"{path} is stale")
    return lines


def _left_over(directory: Path, wanted: Mapping[str, str]) -> list[Path]:
    suffixes = {Path(name).suffix for name in wanted}
    return [path for path in sorted(directory.glob("*")) if path.suffix in suffixes and path.name not in wanted]
