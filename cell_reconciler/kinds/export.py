"""Live objects as documents: what a kind observes, without what is a default anyway.

A kind can be exported when it declares ``export`` (an ``Exporter``), and every kind of link can (``links.export``): it
is the observation, in the type of the spec, that is written down, so a new field appears by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from cell_reconciler.kinds import kind, link_kinds
from cell_reconciler.kinds.contract import Kind, World
from cell_reconciler.model.fields import UNSET, Field, encode, fields_of
from cell_reconciler.model.live import Live


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One object. ``spec``: what differs from the defaults, as a document has it; ``lost``: what no field can say.

    ``optional``: a document without any field would say nothing but that the object is ours.
    """

    spec: dict[str, Any]
    lost: tuple[str, ...] = ()
    optional: bool = False


class Exporter(Protocol):
    """How a kind is exported."""

    def left_out(self, name: str, live: Live) -> str:
        """Why an object is not exported unless it is named; empty when it is."""

    def export(self, name: str, world: World) -> Exported | None:
        """``world`` has no documents. None when there is no such object."""


def exporter(of: Kind) -> Exporter | None:
    """None for a kind that cannot be exported."""
    declared: Exporter | None = getattr(of, "export", None)
    if declared is not None:
        return declared
    if of.name not in link_kinds():
        return None
    from cell_reconciler.kinds.links.export import LinkExporter

    return LinkExporter(of)


def objects(name: str, live: Live, *, ours: bool) -> list[str]:
    """Names of the live objects of a kind: of somebody else, and with ``ours`` those with our mark too."""
    of = kind(name)
    return sorted({*of.foreign(live), *(own for own, _ in (of.owned(live) if ours else ()))})


def unusual(spec: msgspec.Struct, usual: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a spec that differ from their defaults, and the ones that have none, by their names in YAML.

    ``usual``: what fields without a default have when nobody says anything.
    """
    usual = usual or {}
    found: dict[str, Any] = {}
    for field in fields_of(spec.__class__):
        value = getattr(spec, field.name)
        if value is UNSET or (not field.required and value in (field.default, usual.get(field.name, UNSET))):
            continue
        found[field.yaml] = _plain(field, value)
    return found


def _plain(field: Field, value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return unusual(value)
    if isinstance(value, tuple):
        ordered = sorted(value, key=msgspec.json.encode) if field.extra.get("unordered") else value
        return [_plain(field, item) for item in ordered]
    return msgspec.to_builtins(value, enc_hook=encode)
