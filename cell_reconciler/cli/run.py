"""Converge this host and keep it so: the daemon.

Watches the spec directories, libvirt and the kernel, repairs what differs within a second, and compares everything
again once in a while. SIGHUP looks at everything at once; SIGTERM finishes the running step and stops. One instance
a host: `cellctl apply` is refused meanwhile.
"""

from __future__ import annotations

import argparse

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_specs

EXAMPLES = """
  cellctl run -f specs/
  cellctl run -f specs/ --mode observe --log-format json
  cellctl run -f specs/ --once
"""


def configure(parser: argparse.ArgumentParser) -> None:
    from cell_reconciler.cli.session import parse_duration

    add_specs(parser)
    parser.add_argument("--once", action="store_true", help="one full pass, then exit as apply does")
    parser.add_argument(
        "--mode",
        choices=("enforce", "observe"),
        help="observe reports differences and changes nothing (default: as the Reconciler document says, else enforce)",
    )
    parser.add_argument(
        "--interval",
        metavar="TIME",
        type=parse_duration,
        help="between two full comparisons (default: as the Reconciler document says, else 60s)",
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="of the log on stderr")


EXITS = tuple(code for code in exits.MEANING if code != exits.DIFFERENCES)


def run(args: argparse.Namespace) -> int:
    import logging

    from cell_reconciler.cli.session import open_engine
    from cell_reconciler.daemon import logs, service
    from cell_reconciler.daemon.loop import Options

    level = logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO
    logs.setup(args.log_format, level)
    options = Options(
        observe_only=None if args.mode is None else args.mode == "observe",
        interval=args.interval,
        once=args.once,
    )
    return service.run(open_engine(args), options)
