"""Whatever stands in a spec, no format lets it out: no terminal control, no broken XML, no second annotation."""

from __future__ import annotations

import io
import json
import string
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell_reconciler.cli.render import plan as render_plan
from cell_reconciler.cli.render.findings import of_plan
from cell_reconciler.cli.render.markdown import LIMIT
from cell_reconciler.cli.render.style import escape
from cell_reconciler.model.change import Change, FieldChange, Plan, Refusal, Verb
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.fields import Effect
from cell_reconciler.model.key import Key
from tests.cli.plans import EVERYTHING, HOSTILE, PLANS, plan_of, step

ANY = st.text(st.characters(codec=None), min_size=1, max_size=40)
VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(), ANY, st.lists(ANY, max_size=3), st.dictionaries(ANY, ANY, max_size=3)
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    key = Key(draw(ANY), draw(ANY))
    change = Change(
        key=key,
        verb=draw(st.sampled_from(Verb)),
        position=Position(draw(ANY), 1),
        fields=tuple(
            FieldChange(path=draw(ANY), have=draw(VALUE), want=draw(VALUE), effect=draw(st.sampled_from(Effect)))
            for _ in range(draw(st.integers(0, 3)))
        ),
        steps=(step(key, draw(ANY), draw(ANY)),),
        refused=(Refusal(reason="Shrink", message=draw(ANY), advice=draw(ANY)),),
        notes=(draw(ANY),),
    )
    return plan_of(change, host=draw(ANY), unknown={Key("Volume", draw(ANY)): draw(ANY)}, foreign=(key,))


def rendered(plan: Plan, format: str) -> str:
    stream = io.StringIO()
    render_plan.render(plan, format=format, stream=stream, verbose=True, base="/checkout")
    return stream.getvalue()


@given(plan=plans())
@settings(deadline=None, max_examples=30)
def test_no_format_is_broken_by_any_text(plan: Plan) -> None:
    for format in ("text", "markdown", "github"):
        text = rendered(plan, format)
        assert escape(text, keep="\n") == text, format
    assert all(line.startswith("::") for line in rendered(plan, "github").splitlines())
    assert len(rendered(plan, "github").splitlines()) == len(of_plan(plan)) + 1
    ElementTree.fromstring(rendered(plan, "junit").encode())
    assert json.loads(rendered(plan, "json"))["formatVersion"] == "1.0"
    assert json.loads(rendered(plan, "sarif"))["version"] == "2.1.0"


@given(text=ANY)
def test_escape_twice_is_escape_once(text: str) -> None:
    assert escape(escape(text)) == escape(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in escape(text))


@given(text=st.text(string.ascii_letters + string.punctuation + " äöü漢字→", max_size=40))
def test_escape_leaves_what_people_write(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize("format", render_plan.FORMATS)
def test_secrets_are_never_shown(format: str) -> None:
    text = rendered(EVERYTHING, format)
    assert "old secret" not in text
    assert "new secret" not in text
    assert "(sensitive)" in text


@pytest.mark.parametrize("name", PLANS)
def test_signs_do_not_depend_on_colour(name: str) -> None:
    import re

    plain, painted = io.StringIO(), io.StringIO()
    render_plan.render(PLANS[name], format="text", stream=plain)
    render_plan.render(PLANS[name], format="text", stream=painted, color=True)
    assert "\x1b[" in painted.getvalue()
    assert re.sub("\x1b\\[[0-9;]*m", "", painted.getvalue()) == plain.getvalue()


def test_markdown_fits_into_a_comment() -> None:
    many = tuple(
        Change(key=Key("Volume", f"{i}" * 60), verb=Verb.DELETE, notes=("x" * 2000,), position=Position("f" * 500, 1))
        for i in range(500)
    )
    text = rendered(plan_of(*many, unknown={Key("Volume", str(i)): "y" * 900 for i in range(500)}), "markdown")
    assert len(text) <= LIMIT
    assert "more lines: see the log" in text
    assert rendered(HOSTILE, "markdown").count("<details>") == 1


def test_github_gets_no_more_than_it_keeps() -> None:
    refused = tuple(
        Change(key=Key("Volume", str(i)), verb=Verb.UPDATE, refused=(Refusal(reason="Shrink", message="m"),))
        for i in range(30)
    )
    created = tuple(
        Change(key=Key("Bridge", str(i)), verb=Verb.CREATE, steps=(step(Key("Bridge", str(i)), "c", "create"),))
        for i in range(30)
    )
    lines = rendered(plan_of(*refused, *created), "github").splitlines()
    assert sum(line.startswith("::error") for line in lines) == 10
    assert sum(line.startswith("::notice") for line in lines) == 10
    assert "41 more are in the log" in lines[-1]


def test_sarif_fingerprints_survive_moved_lines() -> None:
    def prints(line: int) -> list[str]:
        change = Change(
            key=Key("Volume", "a"),
            verb=Verb.UPDATE,
            position=Position("/checkout/specs/a.yaml", line),
            refused=(Refusal(reason="Shrink", message="m"),) * 2,
        )
        results = json.loads(rendered(plan_of(change), "sarif"))["runs"][0]["results"]
        assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "specs/a.yaml"
        return [r["partialFingerprints"]["cellFinding/v1"] for r in results]

    assert prints(1) == prints(99)
    assert len(set(prints(1))) == 2
