"""Conditions, as Kubernetes has them: what is true of a resource now, why, and since when."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Truth(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """``since`` (RFC 3339) moves only when ``status`` flips. ``reason`` is one CamelCase word."""

    type: str  # Ready, RestartRequired, Degraded, Unresponsive, Conflict, Fighting …
    status: Truth
    reason: str
    message: str = ""
    since: str = ""
