"""One line an event, for people or as JSON, on stderr. Every line of a reconcile carries its id.

Lines of the standard ``logging`` module (ours from lower layers, and libraries') pass through the same formatter.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, TextIO

import structlog

FORMATS = ("text", "json")


def setup(fmt: str, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Configures both libraries. ``fmt`` is one of ``FORMATS``; raises ValueError otherwise."""
    if fmt not in FORMATS:
        raise ValueError(f"{fmt!r} is not a log format; one of {', '.join(FORMATS)}")
    stream = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _reconcile,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if fmt == "text":
        colours = stream.isatty() and not os.environ.get("NO_COLOR")
        last = [structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, sort_keys=False)]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("watchdog").setLevel(logging.WARNING)


def _reconcile(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Every line has the field, so that a search for one id finds all of its lines and nothing lacks it."""
    event.setdefault("reconcile", "-")
    return event


def logger() -> structlog.stdlib.BoundLogger:
    """The daemon's logger."""
    log: structlog.stdlib.BoundLogger = structlog.get_logger("cell_reconciler.daemon")
    return log
