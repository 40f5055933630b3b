"""Every format of every hand-made plan, against the files in ``tests/golden/render-diff/<plan>/``.

``pytest --golden-update tests/cli/test_render_golden.py`` writes them; look at the difference first.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from cell_reconciler.cli.render import diagnostics as render_diagnostics
from cell_reconciler.cli.render import plan as render_plan
from tests.cli.plans import DIAGNOSTICS, PLANS

GOLDEN = Path(__file__).parents[1] / "golden" / "render-diff"
ENDING = {"text": "txt", "json": "json", "github": "github", "sarif": "sarif.json", "junit": "xml", "markdown": "md"}


Same = Callable[[str, str], None]


@pytest.fixture
def same(golden_update: bool) -> Same:
    """Compares with (or writes) a file below GOLDEN."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if golden_update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.read_text(encoding="utf-8") == text

    return check


@pytest.mark.parametrize("format", render_plan.FORMATS)
@pytest.mark.parametrize("name", PLANS)
def test_plan(name: str, format: str, same: Same) -> None:
    stream = io.StringIO()
    found = DIAGNOSTICS if name == "everything" else ()
    render_plan.render(PLANS[name], format=format, stream=stream, diagnostics=found, base="/checkout")
    same(f"{name}/want.{ENDING[format]}", stream.getvalue())


def test_plan_in_colour_and_verbose(same: Same) -> None:
    stream = io.StringIO()
    render_plan.render(PLANS["everything"], format="text", stream=stream, color=True, verbose=True)
    same("everything/want.color.txt", stream.getvalue())


@pytest.mark.parametrize("format", render_diagnostics.FORMATS)
def test_diagnostics(format: str, same: Same) -> None:
    stream = io.StringIO()
    render_diagnostics.render(
        DIAGNOSTICS, format=format, files=41, documents=40, seconds=0.21, stream=stream, base="/checkout"
    )
    same(f"diagnostics/want.{ENDING[format]}", stream.getvalue())


@pytest.mark.parametrize("format", render_diagnostics.FORMATS)
def test_diagnostics_of_valid_specs(format: str, same: Same) -> None:
    stream = io.StringIO()
    render_diagnostics.render((), format=format, files=1, documents=2, seconds=0.04, stream=stream, base="/checkout")
    same(f"valid/want.{ENDING[format]}", stream.getvalue())
