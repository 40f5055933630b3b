"""The toy kind in the table of kinds, for the tests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cell_reconciler import kinds
from cell_reconciler.load import schema


@pytest.fixture(scope="module")
def toy() -> Iterator[None]:
    kinds.KINDS["Toy"] = "tests.load.toy"
    yield
    del kinds.KINDS["Toy"]
    kinds.kind.cache_clear()
    schema.validator.cache_clear()
