"""The schemas: what is published is fresh, is draft-07, and accepts exactly what the typed structs accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from cell_reconciler.kinds import KINDS, kind
from cell_reconciler.load import docs, schema
from cell_reconciler.load.documents import read
from cell_reconciler.load.envelope import Envelope
from cell_reconciler.load.generated import stale
from cell_reconciler.model.fields import decode

NAMES = list(KINDS)


def test_published_schemas_are_fresh(root: Path) -> None:
    assert not stale(root / "schemas", {name: schema.render(make()) for name, make in schema.published().items()})


def test_published_reference_is_fresh(root: Path) -> None:
    assert not stale(root / "docs/reference/spec", {f"{name}.md": docs.page(name) for name in KINDS})


def test_stale_files_are_noticed(tmp_path: Path) -> None:
    assert schema.main(["--write", str(tmp_path)]) == 0
    assert schema.main(["--check", str(tmp_path)]) == 0
    (tmp_path / "host.json").write_text("{}")
    (tmp_path / "gone.json").write_text("{}")
    (tmp_path / "bond.json").unlink()
    wanted = {name: schema.render(make()) for name, make in schema.published().items()}
    assert {line.rpartition("/")[2] for line in stale(tmp_path, wanted)} == {
        "host.json is stale", "gone.json is of no kind", "bond.json is missing",
    }  # fmt: skip
    assert schema.main(["--check", str(tmp_path)]) == 1
    assert schema.main(["--write", str(tmp_path)]) == 0
    assert schema.main(["--check", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_draft_07(name: str) -> None:
    made = schema.kind_schema(name)
    assert made["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(made)
    text = json.dumps(made)
    assert "oneOf" not in text
    assert "(?!" not in text, "patterns are in the dialect of JSON Schema"


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_documented_and_closed(name: str) -> None:
    made = schema.kind_schema(name)
    for part in [made, *made["definitions"].values()]:
        assert part["additionalProperties"] is False
        for word, field in part["properties"].items():
            if part is not made:
                assert field["description"], word
                assert field["x-cell-change"], word


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_examples_fulfil_their_schema(name: str) -> None:
    made = schema.kind_schema(name)
    for part in made["definitions"].values():
        for field in part["properties"].values():
            judge = Draft7Validator({**field, "definitions": made["definitions"]})
            for value in [*field.get("examples", []), *([field["default"]] if "default" in field else [])]:
                assert not list(judge.iter_errors(value)), (field, value)


def test_the_bundle_judges_as_the_schema_of_the_kind() -> None:
    bundle = schema.bundle()
    Draft7Validator.check_schema(bundle)
    judge = Draft7Validator(bundle)
    good = {"apiVersion": "cell/v1", "kind": "Host", "metadata": {"name": "a"}, "spec": {}}
    assert not list(judge.iter_errors(good))
    for bad in (
        {"spec": {"x": 1}},
        {"kind": "Hots"},
        {"apiVersion": "v1"},
        {"spec": {"domainType": "xen"}},
        {"status": {}},
    ):
        assert list(judge.iter_errors({**good, **bad})), bad
    assert set(NAMES) <= set(bundle["definitions"])


def test_the_example_of_each_page_is_nearly_complete() -> None:
    for name in NAMES:
        text = "\n".join(docs.example(name)) + "\n"
        found = [
            d for d in read(text.encode(), name, None).diagnostics if d.rule in ("required", "unknown-field", "type")
        ]
        assert not found, (name, text, found)


# Values near the schema of a kind: right ones, and right ones with something wrong in them.

WRONG = st.sampled_from(
    [None, True, 0, 1, -1, 1.0, 1.5, 2**40, "", "x", "8GiB", "8GB", "60s", "52:54:00:10:20:30", "a\n", "8GiB\n"]
)
WRONG |= st.sampled_from(["9" * 5000 + "s", "9" * 5000 + "GiB", "9" * 5000 + "m", "3-1", 1.2345, 1e-7, 1e280])
WRONG |= st.sampled_from([[], {}, [1], ["a", "a"], {"a": 1}, {"name": "x"}, "virtio", "10.0.0.1/24", "a" * 70])


def near(part: dict[str, Any], definitions: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that mostly fulfil a schema."""
    for reference in [part, *part.get("allOf", [])]:
        if "$ref" in reference:
            return near(definitions[reference["$ref"].rpartition("/")[2]], definitions, depth)
    right: st.SearchStrategy[Any] = WRONG
    if "enum" in part or "const" in part:
        right = st.sampled_from(part.get("enum", [part.get("const")]))
    elif part.get("examples"):
        right = st.sampled_from(part["examples"])
    elif "anyOf" in part:
        right = st.one_of([near(inner, definitions, depth) for inner in part["anyOf"]])
    elif part.get("type") == "object" and "properties" in part:
        return mappings(part, definitions, depth)
    elif part.get("type") == "object":
        inner = part.get("additionalProperties")
        values = near(inner, definitions, depth + 1) if isinstance(inner, dict) else WRONG
        right = st.dictionaries(st.sampled_from(["a", "b", "cell-01"]), values, max_size=3)
    elif part.get("type") == "array":
        right = st.lists(near(part["items"], definitions, depth + 1), max_size=3)
    elif part.get("type") == "integer":
        low, high = part.get("minimum", -3), part.get("maximum", 2**20)
        right = st.integers(low - 1, high + 1)
    elif part.get("type") == "boolean":
        right = st.booleans()
    return st.one_of(right, right, right, right, right, WRONG)


def mappings(part: dict[str, Any], definitions: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    fields = {k: near(v, definitions, depth + 1) for k, v in part["properties"].items()}
    required = {k: v for k, v in fields.items() if k in part.get("required", ())}
    optional = {k: v for k, v in fields.items() if k not in required} if depth < 5 else {}
    right = st.fixed_dictionaries(required, optional=optional)
    spoilt = st.tuples(right, st.sampled_from(["nmae", "spec", *fields]), WRONG).map(
        lambda parts: (
            {**parts[0], parts[1]: parts[2]}
            if isinstance(parts[2], int)
            else {k: v for k, v in parts[0].items() if k != parts[1]}
        )
    )
    return st.one_of(right, right, right, spoilt)


def typed_accepts(name: str, value: dict[str, Any]) -> bool:
    try:
        msgspec.convert(value, Envelope)
        msgspec.convert(value["spec"], kind(name).spec, dec_hook=decode)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", [*NAMES, "Toy"])
@settings(max_examples=50)
@given(data=st.data())
def test_types_and_schema_accept_the_same(name: str, data: st.DataObject, toy: None) -> None:
    made = schema.kind_schema(name)
    value = data.draw(mappings(made, made["definitions"], 0))
    judged = not list(schema.validator(name).iter_errors(value))
    if value.get("apiVersion") == "cell/v1" and value.get("kind") == name:
        assert typed_accepts(name, value) == judged
    if not isinstance(value, dict):
        return
    found = read(json.dumps(value).encode(), "f.json", "cell-01")  # and nothing of it raises
    assert not any(d.rule == "invalid" for d in found.diagnostics), "every refusal is worded by the schema"
