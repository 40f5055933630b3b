"""What ``apply`` shows while it works and afterwards, and how it is stopped in good order."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from cell_reconciler.cli import awaiting, exits
from cell_reconciler.cli.render import json
from cell_reconciler.cli.render.style import escape
from cell_reconciler.converge.engine import Engine
from cell_reconciler.model.change import Outcome, Plan, Result
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.diagnostic import Diagnostic
from cell_reconciler.model.key import Key


class Progress:
    """``[3/12] create bridge br-VM`` on stderr as each step ends; failures always, the rest on a terminal only."""

    def __init__(self, args: argparse.Namespace, steps: int) -> None:
        self.steps = steps
        self.outcomes: list[Outcome] = []  # also when the pass ends with an exception
        self.chatty = args.progress and not args.quiet and sys.stderr.isatty()

    def __call__(self, outcome: Outcome, plan: Plan) -> None:
        self.outcomes.append(outcome)
        failed = outcome.result == Result.FAILED
        if not (self.chatty or failed):
            return
        width = len(str(self.steps))
        tail = {Result.DONE: "", Result.SKIPPED: "  (already so)"}.get(outcome.result, f": {outcome.error}")
        text = escape(plan.steps[outcome.step].text + tail)
        try:
            print(f"[{len(self.outcomes):>{width}}/{self.steps}] {text}", file=sys.stderr)
            if failed and outcome.advice:
                print(f"    {escape(outcome.advice)}", file=sys.stderr)
        except OSError:
            self.chatty = False  # nobody listens any more; that must not stop the work

    def say(self, text: str) -> None:
        """How far a step has come that takes long; on a terminal only."""
        if self.chatty:
            with suppress(OSError):
                print(f"    {escape(text)}", file=sys.stderr)


@contextmanager
def stoppable(engine: Engine) -> Iterator[list[int]]:
    """Finish the running steps on SIGINT or SIGTERM and begin no other; yields the exit codes that came of it.

    A step that waits for a guest is given up: nobody knows how long that takes.
    """
    stopped: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a handler
        waiting, first = engine.doors.waiting.now(), not stopped
        stopped.append(exits.INTERRUPTED if number == signal.SIGINT else exits.TERMINATED)
        engine.stop.set()
        if first:
            with suppress(OSError):
                print("stopping after the steps that are running", file=sys.stderr)
                for what in waiting:
                    print(f"    not waiting any longer for {escape(what)}", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(
    args: argparse.Namespace,
    engine: Engine,
    plan: Plan,
    outcomes: Sequence[Outcome],
    sick: Sequence[tuple[Key, Condition]],
    diagnostics: Sequence[Diagnostic],
) -> None:
    """The result: one line for people (and one for each thing that is not well), everything for machines."""
    counts = {result.value: sum(o.result == result for o in outcomes) for result in Result}
    calls = sum(engine.writes.values())
    if args.format == "json":
        body = {
            "plan": json.plan(plan, diagnostics),
            "outcomes": [_outcome(o) for o in outcomes],
            "summary": {**counts, "notBegun": len(plan.steps) - len(outcomes), "writingCalls": calls},
            "writes": engine.writes,
            "pending": awaiting.plain(engine.pending),
            "silentProbes": list(engine.guarded.silent),
            "unhealthy": [{"key": str(k), "reason": c.reason, "message": c.message} for k, c in sick],
        }
        json.write({"formatVersion": json.FORMAT_VERSION, **body}, sys.stdout)
        return
    print(summary_line(counts, len(plan.steps) - len(outcomes), calls))
    if (found := engine.pending) is not None:
        print(escape(awaiting.line(found)))
        for name in engine.guarded.silent:
            print(f"! {escape(name)} answered before the change and does not now")
    for key, condition in sick:
        print(f"! {escape(str(key))} is not Ready: {condition.reason}: {escape(condition.message)}")


def summary_line(counts: dict[str, int], not_begun: int, calls: int) -> str:
    """``12 done, 0 failed; 14 writing calls``."""
    parts = [f"{counts['done']} done", f"{counts['failed']} failed"]
    parts += [
        f"{counts[name]} {word}" for name, word in (("skipped", "already so"), ("blocked", "blocked")) if counts[name]
    ]
    parts += [f"{not_begun} not begun"] if not_begun else []
    return f"{', '.join(parts)}; {calls} writing call{'' if calls == 1 else 's'}"


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "step": outcome.step,
        "key": str(outcome.key),
        "op": outcome.op,
        "result": outcome.result.value,
        "seconds": outcome.seconds,
        "error": outcome.error,
        "advice": outcome.advice,
    }
