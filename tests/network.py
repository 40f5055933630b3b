"""A host's network in tests: documents from plain values, the real planner, and steps run one after the other.

``NetworkHost`` works on the network namespace (or the booted kernel) that it is used in; nothing of it may run on a
machine's own network.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import NoJournal
from cell_reconciler.drivers.doors import Doors
from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.world import build
from cell_reconciler.model.change import Plan, Result, Risk
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.fields import decode
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.planning import Policy, make_plan

HOST = "cell-01"
CLONE_NEWNET = 0x40000000  # of sched.h


def document(name: str, spec: dict[str, Any] | None = None, *, adopt: bool = False, **more: Any) -> Document:
    """``document("Bond/bond0", {"members": […]})``; ``more`` are further attributes of the Document."""
    key, spec = Key.parse(name), spec or {}
    return Document(
        key=key,
        spec=msgspec.convert(spec, kind(key.kind).spec, dec_hook=decode),
        given={"apiVersion": "cell/v1", "kind": key.kind, "metadata": {"name": key.name}, "spec": spec},
        position=Position("test.yaml", 1),
        annotations={"cell/adopt": "true"} if adopt else {},
        **more,
    )


def plan_of(documents: Sequence[Document], live: Live, *, allow: Risk = Risk.CUTS_VM, prune: bool = False) -> Plan:
    """What the reconciler would do."""
    loaded = Loaded(documents={doc.key: doc for doc in documents})
    return make_plan(HOST, loaded, live, Policy(allow=allow, prune=prune))


def problems(doc: Document, *others: Document) -> set[str]:
    """The rules that a document breaks beside the others."""
    return set(said(doc, *others))


def said(doc: Document, *others: Document) -> dict[str, str]:
    """What is said about a document beside the others, by the rules that it breaks."""
    documents = {d.key: d for d in (doc, *others)}
    return {problem.rule: problem.message for problem in kind(doc.key.kind).check(doc, documents)}


def ip(command: str) -> str:
    """``ip(8)``: the other party in these tests."""
    return subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True).stdout


class NetworkHost:
    """Observes, plans and applies with the real doors."""

    def __init__(self) -> None:
        self.doors = Doors()

    def live(self) -> Live:
        found: dict[str, Any] = {**self.doors.netlink.observe(), **self.doors.nftables.observe()}
        return Live(host=HOST, **found)

    def plan(self, *documents: Document, prune: bool = False) -> Plan:
        return plan_of(documents, self.live(), prune=prune)

    def apply(self, *documents: Document, prune: bool = False, steps: int | None = None) -> Plan:
        """Run the plan's steps in their order, or only the first ``steps``; each is read back."""
        plan = self.plan(*documents, prune=prune)
        for step in plan.steps[:steps]:
            if not step.action.done(self.doors):
                step.action.do(self.doors)
                assert step.action.done(self.doors), f"{step.text}: read back, it had no effect"
        return plan

    def converge(self, *documents: Document, prune: bool = False) -> Plan:
        """Apply, and see that nothing is left to do and nothing more is written."""
        plan = self.apply(*documents, prune=prune)
        assert not refusals(plan), refusals(plan)
        before = self.doors.writes.total
        again = self.apply(*documents, prune=prune)
        assert again.empty, [change for change in again.changes if not change.quiet]
        assert self.doors.writes.total == before
        return plan

    def link(self, name: str) -> Any:
        return self.live().links[name]


class ExecutedHost(NetworkHost):
    """Applies as the reconciler itself does: by its executor, which makes independent steps side by side."""

    def apply(self, *documents: Document, prune: bool = False, steps: int | None = None) -> Plan:
        """Raises StepFailed for the first step that failed; those that did not wait for it are made."""
        plan = self.plan(*documents, prune=prune)
        among = None if steps is None else range(min(steps, len(plan.steps)))
        for outcome in execute(plan, self.doors, NoJournal(), among=among):
            if outcome.result not in (Result.DONE, Result.SKIPPED):
                raise StepFailed(f"{outcome.op} of {outcome.key}: {outcome.error}", outcome.advice)
        return plan


def refusals(plan: Plan) -> list[str]:
    """Reasons and messages of what the plan refuses."""
    return [f"{change.key}: {r.reason}: {r.message}" for change in plan.changes for r in change.refused]


def conditions(host: NetworkHost, doc: Document, *others: Document) -> dict[str, Condition]:
    """What is said of a resource as it is, by the types of the conditions."""
    world = build(HOST, {d.key: d for d in (doc, *others)}, host.live())
    of = kind(doc.key.kind)
    return {c.type: c for c in of.conditions(doc, of.observe(doc.key.name, world), world)}


def ops(plan: Plan) -> list[str]:
    """The operations of a plan in their order."""
    return [step.op for step in plan.steps]


def own_network() -> None:
    """From here on this thread is in a network namespace of its own. Not for the process that runs the tests."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a network namespace of its own: a fork that nothing comes back from but its failure."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root: it makes a network namespace")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reader)
                own_network()
                test(*args, **kwargs)
                code = 0
            except BaseException:  # the fork must not go on as a second pytest
                os.write(writer, traceback.format_exc().encode()[-60_000:])
            finally:
                os._exit(code)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        assert status == 0, said or f"ended with status {status}"

    return run
