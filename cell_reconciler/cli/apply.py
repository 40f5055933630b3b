"""Converge this host once: show the plan, make it so, say what came of it.

What needs more permission than --allow (or the settings document) gives is refused and told, the rest is done. Asks
before anything that disturbs more than a blip or deletes, on a terminal only and not with --yes. A saved plan is
applied as it was reviewed, or not at all. With --confirm-timeout every change of the network is made under a guard that
undoes it, unless somebody who still reaches the host says 'cellctl commit' in time.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, add_planning, add_specs, completes, parse_duration, use_color
from cell_reconciler.errors import NotHealthy, Refused, UsageError

if TYPE_CHECKING:
    from cell_reconciler.cli.converging import Progress
    from cell_reconciler.converge.engine import Engine
    from cell_reconciler.converge.saved import SavedPlan
    from cell_reconciler.model.change import Outcome, Plan
    from cell_reconciler.model.document import Loaded

EXITS = tuple(code for code in exits.MEANING if code != exits.DIFFERENCES)
LEAST = 1.0  # s of --confirm-timeout
EXAMPLES = """
  cellctl apply -f specs/
  cellctl apply -f specs/ --only vm/web-01 --allow cuts-vm --wait
  cellctl apply -f specs/ --confirm-timeout 5m
  cellctl plan -f specs/ --out plan.json && cellctl apply plan.json --yes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    plan = parser.add_argument("plan", nargs="?", metavar="PLAN", help="a plan saved by 'cellctl plan --out'")
    completes(plan, "file")
    add_specs(parser)
    add_planning(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--wait",
        nargs="?",
        metavar="TIME",
        const=300.0,
        type=parse_duration,
        help="wait until everything is Ready, at most TIME (default 5m when given alone, after the PLAN)",
    )
    parser.add_argument(
        "--confirm-timeout",
        metavar="TIME",
        type=parse_duration,
        help="undo every change of the network after TIME unless 'cellctl commit' is said until then",
    )
    add_format(parser, "text", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.converging import Progress, report, stoppable
    from cell_reconciler.cli.render.plan import render
    from cell_reconciler.cli.render.style import escape
    from cell_reconciler.cli.render.summary import verdict

    saved = _saved(args)
    with _engine(args, saved) as engine, engine.lock("cellctl apply"):
        for text in engine.recover():
            print(f"note: {escape(text)}", file=sys.stderr)
        _refuse_pending(engine)
        loaded, plan = _plan(engine, saved)
        if args.format == "text" and not args.quiet:
            render(
                plan,
                format="text",
                stream=sys.stdout,
                color=use_color(args),
                diagnostics=loaded.diagnostics,
                verbose=bool(args.verbose),
            )
            sys.stdout.flush()
        _confirm(args, plan)
        progress = Progress(args, len(plan.steps))
        try:
            with stoppable(engine) as stopped:
                outcomes = _converge(engine, loaded, plan, progress)
            _remember(engine, loaded, plan, outcomes, partly=bool(stopped))
        except OSError:  # the state directory is full, or gone: what was done is said all the same
            report(args, engine, plan, progress.outcomes, [], loaded.diagnostics)
            raise
        waiting = args.wait is not None and not stopped and engine.pending is None
        sick = engine.wait_healthy(loaded, args.wait) if waiting else []
        report(args, engine, plan, outcomes, sick, loaded.diagnostics)
    if stopped:
        return stopped[0]
    codes = [verdict(plan, loaded.diagnostics, applying=True)]
    codes += [exits.FAILED] if any(o.result in ("failed", "blocked") for o in outcomes) else []
    return exits.worst([*codes, exits.UNHEALTHY] if sick else codes)


def _saved(args: argparse.Namespace) -> SavedPlan | None:
    """The saved plan, whose options count for its apply."""
    from cell_reconciler.converge.saved import load_saved

    if args.confirm_timeout is not None and args.confirm_timeout < LEAST:
        raise UsageError(f"--confirm-timeout: at least {LEAST} s are needed to look and to say it")
    if not args.plan:
        return None
    if args.allow or args.only or args.prune is not None:
        raise UsageError("--allow, --prune and --only belong to the saved plan", "give them to 'cellctl plan'")
    saved = load_saved(args.plan)
    args.allow, args.prune, args.only = saved.allow, saved.prune, list(saved.only)
    return saved


def _engine(args: argparse.Namespace, saved: SavedPlan | None) -> Engine:
    from cell_reconciler.cli.session import open_engine

    if saved is None:
        return open_engine(args)
    given = tuple(getattr(args, "specs", ()))
    return open_engine(args, paths=given or saved.paths)


def _refuse_pending(engine: Engine) -> None:
    """Raises Refused while a change waits for an operator: what would be confirmed or undone must stay clear."""
    from cell_reconciler.cli.awaiting import line

    if (found := engine.pending) is not None:
        raise Refused(line(found), "say one of them first")


def _plan(engine: Engine, saved: SavedPlan | None) -> tuple[Loaded, Plan]:
    from cell_reconciler.cli.session import need_key
    from cell_reconciler.converge.saved import check_fresh

    loaded = engine.load()
    for key in engine.options.only:
        need_key(loaded.documents, key)
    plan = engine.plan(loaded)
    if saved is not None:
        check_fresh(saved, plan)
    return loaded, plan


def _confirm(args: argparse.Namespace, plan: Plan) -> None:
    """Ask on a terminal. Raises Refused when the answer is not yes."""
    from cell_reconciler.model.change import Risk

    grave = [step for step in plan.steps if step.risk > Risk.BLIP or step.deletes]
    if not grave or args.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    word = "step disturbs or deletes" if len(grave) == 1 else "steps disturb or delete"
    print(f"{len(grave)} {word}. Apply? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("not confirmed; nothing was changed", "--yes does not ask")


def _converge(engine: Engine, loaded: Loaded, plan: Plan, progress: Progress) -> list[Outcome]:
    """Make the steps. Raises NotHealthy when the management path was lost and the change rolled back."""
    engine.doors.progress = progress.say
    try:
        return engine.apply(plan, progress)
    except NotHealthy:
        with contextlib.suppress(OSError):  # a full disk may be the reason, and is not to hide it
            _remember(engine, loaded, plan, progress.outcomes, partly=True)
        raise


def _remember(engine: Engine, loaded: Loaded, plan: Plan, outcomes: list[Outcome], *, partly: bool) -> None:
    """Write status, events and history: what the host is now, not what was meant."""
    from cell_reconciler.converge.engine import new_reconcile_id

    live = engine.live if engine.live is not None and not outcomes else engine.observe(loaded.documents)
    mark = new_reconcile_id()
    engine.reduce(loaded, live, plan, outcomes, by="apply", reconcile_id=mark)
    if partly:  # steps were not made, or undone: look again instead of believing the plan
        engine.reduce(loaded, live, engine.plan(loaded, live), (), executed=False, by="apply", reconcile_id=mark)
    engine.keep_network(loaded, live, {outcome.key for outcome in outcomes})
    engine.status.set_diagnostics(loaded.diagnostics)
    if not engine.options.only:
        engine.status.forget(loaded.documents)
