"""The reference of the kinds in ``docs/``, generated from the declarations of their fields.

``python -m cell_reconciler.load.docs --write docs/reference/spec`` writes it, ``--check`` fails when it is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from cell_reconciler.kinds import KINDS
from cell_reconciler.load.describe import Node, child, leaf, root, spell
from cell_reconciler.load.envelope import API_VERSION
from cell_reconciler.load.schema import Schema, kind_schema
from cell_reconciler.model.fields import UNSET


def page(name: str) -> str:
    """The page of one kind."""
    node = root(name)
    spec = child(node, "spec")
    lines = [
        f"# {name}",
        "",
        node.text,
        "",
        "```yaml",
        *example(name),
        "```",
        "",
        f"`apiVersion` is always `{API_VERSION}`; there is no `status` in files. `metadata` is the same for all kinds:",
        "",
        *_table(child(node, "metadata"), "metadata"),
        "",
        *_section(spec, "spec", 2),
        "",
        f"JSON Schema: `schemas/{name.lower()}.json`. In a terminal: `cellctl explain {name}`.",
    ]
    return "\n".join(lines) + "\n"


def example(name: str) -> list[str]:
    """The smallest document, with the examples that the declarations give for what is required."""
    lines = [f"apiVersion: {API_VERSION}", f"kind: {name}", "metadata:", "  name: example"]
    body = _minimal(kind_schema(name), "spec")
    return [*lines, *(["spec:", *body] if body else ["spec: {}"])]


def _minimal(schema: Schema, part: str) -> list[str]:
    schema = _resolve(schema, schema["properties"][part])
    return list(_required(schema, schema, "  ")) if "properties" in schema else []


def _required(root_schema: Schema, schema: Schema, indent: str) -> Iterator[str]:
    definitions = root_schema.get("definitions", {})
    for name in schema.get("required", ()):
        field = _resolve({"definitions": definitions, **root_schema}, schema["properties"][name])
        if "properties" in field:
            yield f"{indent}{name}:"
            yield from _required({"definitions": definitions}, field, indent + "  ")
        else:
            yield f"{indent}{name}: {_sample(field)}"


def _sample(field: Schema) -> str:
    for key in ("examples", "enum"):
        if field.get(key):
            return json.dumps(field[key][0]) if not isinstance(field[key][0], str) else field[key][0]
    return {"integer": str(field.get("minimum", 1)), "boolean": "true", "array": "[]", "object": "{}"}.get(
        field.get("type", ""), "..."
    )


def _resolve(root_schema: Schema, schema: Schema) -> Schema:
    """A schema with its ``$ref`` followed."""
    reference = schema.get("$ref") or next((s["$ref"] for s in schema.get("allOf", ()) if "$ref" in s), None)
    if reference is None:
        return schema
    found: Schema = root_schema["definitions"][reference.rpartition("/")[2]]
    return {**found, "definitions": root_schema["definitions"]}


def _section(node: Node, title: str, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 5)} {title}"
    yield ""
    yield node.text
    yield ""
    yield from _table(node, title)
    for field in node.fields:
        inner = child(node, leaf(field))
        if inner.fields:
            yield ""
            yield from _section(
                inner, f"{title}.{leaf(field)}{'[]' if field.type.startswith('list') else ''}", level + 1
            )


def _table(node: Node, title: str) -> Iterator[str]:
    yield "| field | type | default | a change | meaning |"
    yield "|---|---|---|---|---|"
    for field in node.fields:
        default = "**required**" if field.required else "" if field.default is UNSET else f"`{spell(field.default)}`"
        meaning = field.text + "".join(f" {_limit(limit)}." for limit in field.limits)
        meaning += "".join(f" Example: `{spell(sample)}`." for sample in field.examples[:1])
        if field.struct is not None:
            meaning += f" Its fields: [{title}.{leaf(field)}](#{_anchor(title, field)})."
        cells = (f"`{leaf(field)}`", field.type, default, field.change, meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _limit(text: str) -> str:
    """A limit as a sentence, its pattern as code."""
    before, matches, pattern = text.partition("matches ")
    text = f"{before}{matches}`{pattern}`" if matches else text
    return text[:1].upper() + text[1:]


def _anchor(title: str, field: Node) -> str:
    """As Markdown renderers make it of a heading: lower case, letters and digits only."""
    return "".join(c for c in f"{title}{leaf(field)}".lower() if c.isalnum())


def main(argv: list[str] | None = None) -> int:
    """Write the reference of the kinds, or check that the written one is fresh."""
    from cell_reconciler.load.generated import generate

    parser = argparse.ArgumentParser(prog="python -m cell_reconciler.load.docs", description=main.__doc__)
    return generate(
        parser, Path("docs/reference/spec"), {f"{name}.md": page(name) for name in KINDS}, "make docs", argv
    )


if __name__ == "__main__":
    sys.exit(main())
