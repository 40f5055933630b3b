"""The strategy of valid documents produces all that the model has: each field, each value of an enum or a switch."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

from cell_reconciler.model.document import Document
from tests.kinds.vm.goals import goals, reached
from tests.kinds.vm.specs import specs

EXAMPLES = settings(
    max_examples=1000,  # the rarest goal is in one of fifty
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_strategy_reaches_every_field_and_every_value_of_the_model() -> None:
    """Always by the same examples, and no more of them than it takes."""
    left = set(goals())

    def complete(doc: Document) -> bool:
        left.difference_update(reached(doc.given["spec"]))
        return not left

    with suppress(NoSuchExample):
        find(specs(), complete, settings=EXAMPLES, random=Random(1))
    assert left == set()
