"""What is written reads back as it was: by our reader, and by one of YAML 1.1."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.load import write
from cell_reconciler.load.yaml_events import parse

HOSTILE = (
    "on", "no", "y", "null", "~", "true", "10:00", "190:20:30", "52:54:00:11:22:33", "0644", "0o17", "0x1f", "1e3",
    "1_000", "1.5", ".5", "12", "-1", "+7", "=", "<<", "2024-01-01", "", " x", "x ", "a: b", "# x", "- x", "@x", "`x`",
    "*a", "&a", "!t", "%x", "[", "{a}", "a\nb", "a\n", "'", '"', "é", "a\x85b", "\u2028", "x" * 300, "?", "---", "... ",
)  # fmt: skip


def back(value: dict[str, Any]) -> tuple[Any, Any]:
    """The value as our reader and as PyYAML's safe loader see it."""
    text = write.document(value, ["a comment", "and\nanother \x1b[31m: [one"])
    parsed = parse(text.encode(), "x.yaml")
    assert not parsed.errors, (text, parsed.errors)
    return parsed.documents[0].value, yaml.safe_load(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_stay_texts(text: str) -> None:
    value = {"metadata": {"name": text}, "list": [text, {"inner": text}]}
    assert back(value) == (value, value)


def test_it_looks_as_a_person_would_write_it() -> None:
    value = {"kind": "Bond", "spec": {"members": ["eno1", "eno2"], "mac": "52:54:00:11:22:3f", "via": "10.0.0.1"}}
    assert write.document(value, ["note"]) == (
        "# note\nkind: Bond\nspec:\n  members:\n    - eno1\n    - eno2\n  mac: 52:54:00:11:22:3f\n  via: 10.0.0.1\n"
    )


def test_a_stream_of_documents() -> None:
    text = write.stream([write.document({"a": 1}), write.document({"b": 2}, ["x"])])
    assert [raw.value for raw in parse(text.encode(), "x").documents] == [{"a": 1}, {"b": 2}]


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcXYZ-./", min_size=1), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abcXYZ-./", min_size=1), plain, min_size=1, max_size=4))
def test_anything_reads_back(value: dict[str, Any]) -> None:
    text = write.document(value)
    parsed = parse(text.encode(), "x.yaml")
    hostile = [e for e in parsed.errors if e.rule != "control-character"]
    assert not hostile
    if not parsed.errors:
        assert parsed.documents[0].value == value
