"""Plans kept in a file: what was reviewed is what is applied, or nothing is.

A saved plan carries the digests of the specs and of everything observed. Applying it plans again (the same code,
the same input) and is refused when either moved, so no executable content is ever read from the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cell_reconciler.errors import Refused, UsageError
from cell_reconciler.model.change import Plan

FORMAT = "1.0"


class SavedPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The file. ``only`` and ``allow``/``prune`` are the options it was made with."""

    format_version: str
    host: str
    specs_digest: str
    live_digest: str
    allow: str
    prune: bool
    only: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()


def save_plan(
    plan: Plan, path: str | Path, *, allow: str, prune: bool, only: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    """Write the plan for a later ``cellctl apply FILE``."""
    saved = SavedPlan(
        format_version=FORMAT,
        host=plan.host,
        specs_digest=plan.specs_digest,
        live_digest=plan.live_digest,
        allow=allow,
        prune=prune,
        only=only,
        paths=paths,
        steps=tuple(
            {"key": str(s.key), "op": s.op, "text": s.text, "risk": s.risk.label, "restart": s.restart}
            for s in plan.steps
        ),
    )
    Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n")


def load_saved(path: str | Path) -> SavedPlan:
    """Raises UsageError for a file that is not a plan of a version that we know."""
    try:
        saved = msgspec.json.decode(Path(path).read_bytes(), type=SavedPlan)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path} is not a saved plan: {error}", "make one with: cellctl plan --out FILE") from error
    if saved.format_version.split(".")[0] != FORMAT.split(".", maxsplit=1)[0]:
        raise UsageError(f"{path} has format {saved.format_version}; this version reads {FORMAT}")
    return saved


def check_fresh(saved: SavedPlan, plan: Plan) -> None:
    """Raises Refused when specs, host or its state moved since the plan was saved."""
    for what, old, new in (
        ("it was made for another host", saved.host, plan.host),
        ("the specs changed since", saved.specs_digest, plan.specs_digest),
        ("the host changed since", saved.live_digest, plan.live_digest),
    ):
        if old != new:
            raise Refused(f"the plan is stale: {what}", "plan again, and review it again")
