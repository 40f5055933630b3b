"""Which exit code a plan stands for: the table of the design, row by row."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from cell_reconciler import errors
from cell_reconciler.cli import exits
from cell_reconciler.cli.render.summary import summarize, verdict
from cell_reconciler.model.change import Change, Plan, Refusal, Verb
from cell_reconciler.model.key import Key
from tests.cli.plans import BRIDGE, DIAGNOSTICS, EVERYTHING, NOTHING, field, plan_of, step

CREATE = Change(key=BRIDGE, verb=Verb.CREATE, steps=(step(BRIDGE, "bridge.create", "create"),))
PROTECTED = Change(key=BRIDGE, verb=Verb.DELETE, refused=(Refusal(reason="Protected", message="no"),))
LACKING = Change(key=BRIDGE, verb=Verb.UPDATE, refused=(Refusal(reason="NeedsPermission", message="no"),))
SUSPENDED = Change(key=BRIDGE, verb=Verb.UPDATE, refused=(Refusal(reason="Suspended", message="no", waiting=True),))
PENDING = Change(key=BRIDGE, verb=Verb.NONE, fields=(field("spec.x", 1, 2, pending=True),))
IGNORED = Change(key=BRIDGE, verb=Verb.NONE, fields=(field("spec.x", 1, 2, ignored=True),))
UNKNOWN = plan_of(unknown={Key("Volume", "a"): "ceph is unreachable"})
ERROR, WARNING = DIAGNOSTICS[0], DIAGNOSTICS[2]

# plan, diagnostics, exit code of: diff, diff --exit-code, apply
TABLE = {
    "in sync": (NOTHING, (), 0, 0, 0),
    "only ignored fields": (plan_of(IGNORED), (), 0, 0, 0),
    "differences": (plan_of(CREATE), (), 0, 3, 0),
    "pending until a restart": (plan_of(PENDING), (), 0, 3, 0),
    "suspended": (plan_of(SUSPENDED), (), 0, 3, 0),
    "a warning": (NOTHING, (WARNING,), 0, 0, 0),
    "an invalid document": (NOTHING, (ERROR,), 4, 4, 4),
    "a source unreachable": (UNKNOWN, (), 5, 5, 5),
    "protected": (plan_of(PROTECTED), (), 6, 6, 6),
    "permission is lacking": (plan_of(LACKING), (), 0, 3, 6),
    "protected and different": (plan_of(PROTECTED, CREATE), (), 6, 6, 6),
    "invalid and protected": (plan_of(PROTECTED), (ERROR,), 4, 4, 4),
    "unreachable and invalid": (UNKNOWN, (ERROR,), 5, 5, 5),
    "everything at once": (EVERYTHING, DIAGNOSTICS, 5, 5, 5),
}


@pytest.mark.parametrize("name", TABLE)
def test_verdict(name: str) -> None:
    plan, found, diff, with_flag, apply = TABLE[name]
    assert verdict(plan, found) == diff
    assert verdict(plan, found, differences=True) == with_flag
    assert verdict(plan, found, applying=True) == apply


def test_precedence() -> None:
    order = [1, 2, 5, 4, 6, 7, 3, 0]
    for first, second in itertools.combinations(order, 2):
        assert exits.worst([second, first]) == first
    assert exits.worst([]) == 0


def test_every_error_has_a_documented_code() -> None:
    classes = [errors.CellError, *errors.CellError.__subclasses__()]
    assert {cls.exit_code for cls in classes} <= exits.MEANING.keys()


def test_each_resource_is_counted_once() -> None:
    counts = msgspec.structs.asdict(summarize(EVERYTHING))
    resources = [n for name, n in counts.items() if name not in ("restart", "drift", "foreign")]
    assert sum(resources) == len(EVERYTHING.changes) + len(EVERYTHING.unknown)


def test_what_is_printed_and_the_code_agree() -> None:
    """The code is 3 exactly when the sum of the same plan says that something differs."""
    for change in (CREATE, PENDING, SUSPENDED, LACKING, IGNORED):
        plan: Plan = plan_of(change)
        differs = summarize(plan).in_sync == 0
        assert (verdict(plan, differences=True) == 3) == differs
