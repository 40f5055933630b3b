"""From parsed arguments to the engine and to keys."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

from cell_reconciler.cli.options import host_name, parse_duration, spec_paths
from cell_reconciler.converge.engine import Engine, Options
from cell_reconciler.errors import UsageError
from cell_reconciler.kinds import KINDS, kind_by_alias
from cell_reconciler.model.change import Risk
from cell_reconciler.model.key import Key
from cell_reconciler.status.store import StatusStore


def open_engine(args: argparse.Namespace, *, host: str = "", paths: tuple[str, ...] | None = None) -> Engine:
    """An engine for this command line; ``host`` and ``paths`` override it. Raises UsageError for what is not there."""
    allow = getattr(args, "allow", None)
    return Engine(
        Options(
            host=host or host_name(args),
            paths=spec_paths(args) if paths is None else paths,
            state_dir=args.state_dir,
            connect=args.connect,
            allow=Risk.parse(allow) if allow else None,
            prune=getattr(args, "prune", None),
            only=tuple(parse_key(text) for text in getattr(args, "only", [])),
            confirm_timeout=getattr(args, "confirm_timeout", None),
        )
    )


def open_status(args: argparse.Namespace) -> StatusStore:
    """What is known without asking the host."""
    return StatusStore(args.state_dir)


def parse_key(text: str) -> Key:
    """``vm/web-01`` → ``VirtualMachine/web-01``. Raises UsageError naming the kinds."""
    key = Key.parse(text)
    if key.kind in KINDS:
        return key
    return Key(kind_by_alias(key.kind).name, key.name)


def moment(seconds_from_now: float = 0.0) -> str:
    """RFC 3339, UTC."""
    return (datetime.now(UTC) + timedelta(seconds=seconds_from_now)).isoformat(timespec="seconds")


def age(since: str) -> str:
    """``3m``, ``2h``, ``5d`` since an RFC 3339 time; ``-`` when it is not known."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(int(seconds), 0)}s"


def need_key(documents: object, key: Key) -> None:
    """Raises UsageError for a key that is not among the documents."""
    if key not in documents:  # type: ignore[operator]  # any container of keys
        raise UsageError(f"{key} is not declared on this host", "cellctl get lists what is")


__all__ = ["age", "moment", "need_key", "open_engine", "open_status", "parse_duration", "parse_key"]
