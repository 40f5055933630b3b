"""Take over what exists already, as it is: writes our marks and nothing else.

Each document named (without names: each with the annotation cell/adopt) has to say what is there. Where a field differs
the object is left alone, the difference is shown, and the exit code is 6: mend the document, or let apply make the
change. Afterwards the mark says that the object was adopted, so the annotation is not needed any more; fields that the
document leaves out stay as they are, and when the document goes, the object stays.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_specs, completes, use_color
from cell_reconciler.errors import UsageError

if TYPE_CHECKING:
    from cell_reconciler.converge.engine import Engine
    from cell_reconciler.kinds.contract import Observed
    from cell_reconciler.model.change import Change, Outcome, Plan
    from cell_reconciler.model.document import Document, Loaded
    from cell_reconciler.model.key import Key

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.INVALID, exits.UNREACHABLE, exits.REFUSED)
EXAMPLES = """
  cellctl export -o specs/ && cellctl adopt -f specs/     the whole network of a host
  cellctl adopt -f specs/ Bridge/br0 Bond/bond0           these, annotated or not
"""


def configure(parser: argparse.ArgumentParser) -> None:
    keys = parser.add_argument(
        "keys", nargs="*", metavar="KIND/NAME", help="documents (default: those annotated with cell/adopt)"
    )
    completes(keys, "kind")
    add_specs(parser)
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.converging import Progress
    from cell_reconciler.cli.render.plan import render
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.cli.render.summary import verdict
    from cell_reconciler.cli.session import open_engine

    with open_engine(args) as engine, engine.lock("cellctl adopt"):
        for text in engine.recover():
            print(f"note: {escape(text)}", file=sys.stderr)
        loaded = engine.load()
        keys = _chosen(args, loaded)
        plan, already = _plan(engine, loaded, keys)
        if args.format == "text" and not args.quiet:
            diagnostics = loaded.diagnostics
            render(plan, format="text", stream=sys.stdout, color=use_color(args), diagnostics=diagnostics)
            sys.stdout.flush()
        outcomes = engine.apply(plan, Progress(args, len(plan.steps)))
        left = _remember(engine, loaded, plan, outcomes)
        _report(args, plan, outcomes, already, left, loaded)
    failed = any(outcome.result in ("failed", "blocked") for outcome in outcomes)
    return exits.worst([verdict(plan, loaded.diagnostics, applying=True), exits.FAILED if failed else exits.OK])


def _chosen(args: argparse.Namespace, loaded: Loaded) -> list[Key]:
    """The keys to adopt. Raises UsageError for one that is not declared here, and when there is none."""
    from cell_reconciler.cli.session import need_key, parse_key

    keys = [parse_key(text) for text in args.keys]
    for key in keys:
        need_key(loaded.documents, key)
    if keys:
        return keys
    annotated = [key for key, document in loaded.documents.items() if document.adopts]
    if not annotated and loaded.complete:
        raise UsageError("no document has the annotation cell/adopt", "name what is to be adopted: KIND/NAME")
    return annotated


def _plan(engine: Engine, loaded: Loaded, keys: Collection[Key]) -> tuple[Plan, list[Key]]:
    """The plan of these keys as if all were annotated, with only its marks left, and the keys that are ours already."""
    import msgspec

    from cell_reconciler.kinds import kind
    from cell_reconciler.kinds.world import build
    from cell_reconciler.planning.order import order

    documents = loaded.documents | {key: _annotated(loaded.documents[key]) for key in keys}
    live = engine.observe(loaded.documents)
    whole = engine.plan(msgspec.structs.replace(loaded, documents=documents), live, keys)
    world = build(engine.options.host, documents, live)
    changes: list[Change] = []
    already: list[Key] = []
    for change in whole.changes:
        if change.key not in keys:
            continue
        have = kind(change.key.kind).observe(change.key.name, world)
        if have is not None and have.mark is not None:
            already.append(change.key)
        else:
            changes.append(_only_marks(change, have))
    steps, edges, soft = order(changes, {}, {})
    unknown = {key: reason for key, reason in whole.unknown.items() if key in keys}
    return msgspec.structs.replace(
        whole, changes=tuple(changes), steps=steps, edges=edges, soft=soft, unknown=unknown, foreign=()
    ), already


def _annotated(document: Document) -> Document:
    import msgspec

    from cell_reconciler.model.document import ADOPT

    return msgspec.structs.replace(document, annotations={**document.annotations, ADOPT: "true"})


def _only_marks(change: Change, have: Observed | None) -> Change:
    """The change if it writes marks and nothing else, otherwise refused, with what apply would do."""
    import msgspec

    from cell_reconciler.cli.exported import other_steps
    from cell_reconciler.model.change import Refusal
    from cell_reconciler.planning.gates import refuse

    if change.refused:
        return msgspec.structs.replace(change, steps=())
    if have is None:
        message, advice = "there is nothing to adopt: it does not exist", "cellctl apply creates it"
        return refuse(change, Refusal(reason="Missing", message=message, advice=advice))
    differ = [field.path for field in change.fields if not field.ignored]
    others = [step.text for step in other_steps(change)]
    if not differ and not others:
        return change
    what = f"{', '.join(differ)} {'differs' if len(differ) == 1 else 'differ'}" if differ else "it is not at rest"
    advice = "change the document to what is there"
    advice += f", or let 'cellctl apply' do it: {'; '.join(others)}" if others else ", or ignore it with cell/ignore"
    return refuse(change, Refusal(reason="Differs", message=f"not adopted as it is: {what}", advice=advice))


def _remember(engine: Engine, loaded: Loaded, plan: Plan, outcomes: list[Outcome]) -> list[Key]:
    """Write the status down as the host is now, and return the adopted keys that are not in sync without annotation."""
    from cell_reconciler.converge.engine import new_reconcile_id

    keys = [change.key for change in plan.changes]
    if not keys:
        return []
    live = engine.observe(loaded.documents)
    mark = new_reconcile_id()
    engine.reduce(loaded, live, plan, outcomes, by="adopt", reconcile_id=mark)
    after = engine.plan(loaded, live, keys)
    engine.reduce(loaded, live, after, (), executed=False, by="adopt", reconcile_id=mark)
    adopted = {outcome.key for outcome in outcomes}
    return [change.key for change in after.changes if change.key in adopted and not change.quiet]


def _report(
    args: argparse.Namespace,
    plan: Plan,
    outcomes: list[Outcome],
    already: list[Key],
    left: list[Key],
    loaded: Loaded,
) -> None:
    from cell_reconciler.cli.render import json
    from cell_reconciler.cli.render.style import escape

    adopted = sorted({str(outcome.key) for outcome in outcomes if outcome.result in ("done", "skipped")})
    refused = [change for change in plan.changes if change.refused]
    if args.format == "json":
        body = {
            "plan": json.plan(plan, loaded.diagnostics),
            "adopted": adopted,
            "already": [str(key) for key in already],
            "refused": [str(change.key) for change in refused],
            "differ": [str(key) for key in left],
        }
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
        return
    words = [f"{len(adopted)} adopted"]
    words += [f"{len(already)} ours already"] if already else []
    words += [f"{len(refused)} refused"] if refused else []
    print(", ".join(words))
    for key in left:
        print(f"! {escape(str(key))} is adopted, and differs: see 'cellctl diff'")
