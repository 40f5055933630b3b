"""Everything about one resource: what is declared, what is there, what differs and what is done about it.

Looks at the host now; when the specs or the host cannot be read, shows what the last apply or run wrote down.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_specs, completes, use_color
from cell_reconciler.errors import CellError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.converge.engine import Engine
    from cell_reconciler.model.change import Change
    from cell_reconciler.model.key import Key
    from cell_reconciler.status.store import StatusStore

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.UNREACHABLE)
EXAMPLES = """
  cellctl describe vm/web-01
  cellctl describe Bridge/br-VM --format json
"""
_EVENTS = 20


def configure(parser: argparse.ArgumentParser) -> None:
    completes(parser.add_argument("key", metavar="KIND/NAME", help="the resource"), "kind")
    add_specs(parser)
    parser.add_argument("--offline", action="store_true", help="only what was written down; do not look at the host")
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli import awaiting
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import Style
    from cell_reconciler.cli.session import open_status, parse_key

    key = parse_key(args.key)
    store = open_status(args)
    facts, change = ({}, None) if args.offline else _look(args, key)
    facts |= _remembered(store, key, live=bool(facts))
    pending = awaiting.read(args.state_dir)
    facts["unconfirmed"] = awaiting.line(pending) if pending is not None and key in pending.keys else ""
    if not facts.keys() & {"spec", "live", "conditions"}:
        raise CellError(f"{key} is not known on this host", "cellctl get lists what is; -f names the specs")
    if args.format == "json":
        json.write({"formatVersion": json.FORMAT_VERSION, "key": str(key), **facts}, sys.stdout)
    else:
        for line in _text(key, facts, change, Style(use_color(args))):
            print(line)
    return exits.UNREACHABLE if facts.get("unknown") else exits.OK


def _look(args: argparse.Namespace, key: Key) -> tuple[dict[str, Any], Change | None]:
    """Spec, live and differences as they are now; nothing when specs or host cannot be read."""
    from cell_reconciler.cli.session import open_engine

    try:
        with open_engine(args) as engine:
            return _facts(engine, key)
    except CellError as error:
        print(f"note: {error.message}; showing what was written down", file=sys.stderr)
        return {}, None


def _facts(engine: Engine, key: Key) -> tuple[dict[str, Any], Change | None]:
    import msgspec

    from cell_reconciler.cli.render import json
    from cell_reconciler.kinds import kind
    from cell_reconciler.kinds.compare import plain
    from cell_reconciler.kinds.world import build

    loaded = engine.load()
    live = engine.observe(loaded.documents)
    plan = engine.plan(loaded, live)
    world = build(engine.options.host, loaded.documents, live)
    facts: dict[str, Any] = {"unknown": plan.unknown.get(key, "")}
    document = loaded.documents.get(key)
    if document:
        facts |= {
            "position": f"{document.position.file}:{document.position.line}",
            "derivedFrom": [str(k) for k in document.derived_from],
            "labels": document.labels,
            "annotations": document.annotations,
            "spec": _without_empty(plain(document.spec)),
            "defaults": list(getattr(kind(key.kind), "defaults", lambda *_: ())(document, loaded.documents)),
            "needs": sorted({str(r.target) for r in kind(key.kind).references(document, loaded.documents)}),
            "stale": key in loaded.stale,
        }
    facts["neededBy"] = sorted(
        str(k)
        for k, other in loaded.documents.items()
        if key in {r.target for r in kind(k.kind).references(other, loaded.documents)}
    )
    have = None if facts["unknown"] else kind(key.kind).observe(key.name, world)
    if have:
        facts["live"] = _without_empty(plain(have.spec))
        facts["owner"] = str(have.mark.owner) if have.mark else None
    change = next((c for c in plan.changes if c.key == key), None)
    if change:
        facts["differences"] = [json.field(f) for f in change.fields]
        facts["steps"] = [step.text for step in change.steps]
        facts["refused"] = [msgspec.to_builtins(r) for r in change.refused]
        facts["notes"] = list(change.notes)
    if document and not facts["unknown"]:
        conditions = engine.health(loaded, live, [key])[key]
        facts["health"] = [msgspec.to_builtins(c) for c in conditions]
    return facts, change


def _without_empty(value: Any) -> Any:
    """Leave out what is not ours to say: fields without a value."""
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if v is not None}
    return [_without_empty(v) for v in value] if isinstance(value, list) else value


def _remembered(store: StatusStore, key: Key, *, live: bool) -> dict[str, Any]:
    """Conditions, retry, suspension, events and the last passes, from the state directory."""
    from datetime import UTC, datetime

    import msgspec

    found: dict[str, Any] = {}
    status = store.get(key)
    if status:
        found["conditions"] = [msgspec.to_builtins(c) for c in status.conditions]
        found |= {"nextRetry": status.next_retry, "asOf": status.time, "pending": list(status.pending)}
        if not live:
            found["position"] = status.position
    record = store.suspensions(datetime.now(UTC)).get(key)
    found["suspended"] = {**msgspec.to_builtins(record), "key": str(key)} if record else None
    found["events"] = [{**msgspec.to_builtins(e), "key": str(key)} for e in store.events(key, limit=_EVENTS)]
    found["history"] = [
        {"time": entry.time, "by": entry.by, "reconcileId": entry.reconcile_id} for entry in store.history(key, limit=5)
    ]
    return found


def _text(key: Key, facts: dict[str, Any], change: Change | None, style: Style) -> Iterator[str]:
    from cell_reconciler.cli.render import text
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.cli.render.table import tree

    yield style.paint(escape(str(key)), "bold")
    for name, label in (
        ("position", "Declared"),
        ("owner", "Mark"),
        ("nextRetry", "Next retry"),
        ("unknown", "Unknown"),
        ("unconfirmed", "Unconfirmed"),
    ):
        if facts.get(name):
            yield f"{label + ':':<13} {escape(str(facts[name]))}"
    for name, label in (("derivedFrom", "Derived from"), ("needs", "Needs"), ("neededBy", "Needed by")):
        if facts.get(name):
            yield f"{label + ':':<13} {escape(', '.join(facts[name]))}"
    if facts.get("defaults"):
        yield f"{'Defaults:':<13} {escape('; '.join(facts['defaults']))}"
    if facts.get("stale"):
        yield style.paint("!", "red") + " its file is invalid now; the last good version stays in force"
    if facts.get("suspended"):
        record = facts["suspended"]
        until = f" until {record['until']}" if record["until"] else ""
        yield f"{'Suspended:':<13} {escape(record['reason'])}{until} (by {escape(record['by'])})"
    for name, label in (("labels", "Labels"), ("annotations", "Annotations"), ("spec", "Spec"), ("live", "Live")):
        if facts.get(name):
            yield from ("", style.paint(label, "bold"), *tree(facts[name]))
    if change is not None:
        yield from ("", style.paint("Differences", "bold"))
        lines = list(text.change_lines(change, 0, style, verbose=True))[1:]
        yield from lines or ["  none: in sync"]
    yield from _conditions(facts, style)
    yield from _events(facts, style)


def _conditions(facts: dict[str, Any], style: Style) -> Iterator[str]:
    from cell_reconciler.cli.render.table import table
    from cell_reconciler.cli.session import age

    conditions = {c["type"]: c for c in [*facts.get("conditions", []), *facts.get("health", [])]}
    if conditions:
        yield from ("", style.paint(f"Conditions (as of {facts.get('asOf') or 'now'})", "bold"))
        rows = [
            [f"  {c['type']}", c["status"], c["reason"], age(c.get("since") or ""), c["message"]]
            for c in conditions.values()
        ]
        colors = {"True": "green", "False": "red", "Unknown": "yellow"}
        yield from table(["  TYPE", "STATUS", "REASON", "AGE", "MESSAGE"], rows, style, colors)


def _events(facts: dict[str, Any], style: Style) -> Iterator[str]:
    from cell_reconciler.cli.render.table import table

    if facts.get("events"):
        yield from ("", style.paint(f"Events (the last {_EVENTS})", "bold"))
        rows = [[f"  {e['time'][:19]}Z", e["type"], e["reason"], e["message"]] for e in facts["events"]]
        yield from table(["  TIME", "TYPE", "REASON", "MESSAGE"], rows, style, {"Warning": "yellow"})
