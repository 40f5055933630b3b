"""A packet filter as a plain value: the rules that belong to one bridge, in the words of libnftables-json(5)."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

Expression = dict[str, Any]  # {"match": …}, {"drop": None} …


class FilterRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule; ``comment`` tells an operator who lists the ruleset what it is for (at most 128 bytes)."""

    comment: str
    expr: tuple[Expression, ...]


class FilterChain(msgspec.Struct, frozen=True, kw_only=True):
    """A base chain. What no rule drops goes on to the chains of others."""

    family: str  # inet, bridge
    hook: str  # forward, input, output: also the chain's name
    priority: int
    rules: tuple[FilterRule, ...]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """All chains of one bridge; there is one table for each family in it."""

    chains: tuple[FilterChain, ...]

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(chain.family for chain in self.chains))

    def objects(self, family: str, table: str) -> list[dict[str, Any]]:
        """The table's chains and rules as libnftables takes them, and gives them back."""
        of = {"family": family, "table": table}
        found: list[dict[str, Any]] = []
        for chain in self.chains:
            if chain.family == family:
                base = {"type": "filter", "hook": chain.hook, "prio": chain.priority, "policy": "accept"}
                found.append({"chain": {**of, "name": chain.hook, **base}})
                for rule in chain.rules:
                    expr = list(rule.expr)
                    found.append({"rule": {**of, "chain": chain.hook, "comment": rule.comment, "expr": expr}})
        return found

    def digest(self) -> str:
        """Of the rules as they mean to be, to compare with what the kernel holds."""
        tables: dict[str, Any] = {family: {} for family in self.families}
        return digest(tables, [x for family in self.families for x in self.objects(family, "")])


def digest(tables: dict[str, Any], objects: list[dict[str, Any]]) -> str:
    """16 hex digits over everything in the tables of one bridge.

    ``tables``: family → properties such as flags. Handles, counts and the order of sets mean nothing and are left out.
    """
    plain = {"tables": tables, "objects": [_plain(x, top=True) for x in objects]}
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:16]


def _plain(value: Any, top: bool = False) -> Any:
    """The value without what the kernel adds or orders as it likes."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if top:
        ((kind, body),) = value.items()
        return {kind: {k: _plain(v) for k, v in body.items() if k not in ("handle", "table")}}
    if value.keys() == {"counter"}:
        return {"counter": None}
    if value.keys() == {"set"} and isinstance(value["set"], list):
        return {"set": sorted((_plain(inner) for inner in value["set"]), key=str)}
    return {key: _plain(inner) for key, inner in value.items()}
