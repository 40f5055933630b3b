"""One field that differs, in words."""

from __future__ import annotations

import json
from typing import Any

from cell_reconciler.cli.render.style import escape
from cell_reconciler.model.change import FieldChange
from cell_reconciler.model.fields import Effect

SENSITIVE = "(sensitive)"
LONG = 72  # characters of a value; -v shows all of it

EFFECT = {
    Effect.POLICY: "",
    Effect.LIVE: "in place",
    Effect.EMPTY: "members are released and enslaved again",
    Effect.DOWN: "link goes down and up",
    Effect.REBUILD: "members are released and enslaved again, link goes down and up",
    Effect.REPLUG: "device is unplugged and plugged again",
    Effect.RESTART: "needs a restart of the VM",
    Effect.REPLACE: "needs delete and create",
    Effect.IMMUTABLE: "cannot be changed",
}


def sign(field: FieldChange) -> str:
    """``+`` appears, ``-`` goes, ``~`` changes, ``=`` is left as it is."""
    if field.ignored:
        return "="
    if field.have is None:
        return "+"
    return "-" if field.want is None else "~"


def op(field: FieldChange) -> str:
    """The same for machines."""
    return {"+": "add", "-": "remove", "~": "change", "=": "ignore"}[sign(field)]


def plain(field: FieldChange) -> tuple[Any, Any]:
    """``have`` and ``want`` for machines: what is secret is replaced, what is absent stays None."""
    if not field.secret:
        return field.have, field.want
    have, want = field.have, field.want
    return (None if have is None else SENSITIVE), (None if want is None else SENSITIVE)


def show(value: Any, limit: int | None = LONG) -> str:
    """A value on one line, as a spec would write it; never more than ``limit`` characters."""
    if value is None:
        return "(absent)"
    if isinstance(value, str):
        text = value if _obvious(value) else json.dumps(value, ensure_ascii=False)
    else:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    text = escape(text)
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def _obvious(text: str) -> bool:
    """Needs no quotes to be read as a string: not empty, no blanks at its ends."""
    return bool(text) and text == text.strip() and text not in ("(absent)", SENSITIVE)


def difference(field: FieldChange, limit: int | None = LONG) -> str:
    """``4GiB → 8GiB``; a value that appears or goes stands alone."""
    have, want = (SENSITIVE if field.secret else show(value, limit) for value in (field.have, field.want))
    if field.have is None:
        return want
    return have if field.want is None else f"{have} → {want}"


def effect(field: FieldChange) -> str:
    """What the change takes, in words."""
    if field.ignored:
        return "ignored (cell/ignore), live differs"
    if field.pending:
        return "pending: takes effect at the next start of the VM"
    return EFFECT[field.effect]
