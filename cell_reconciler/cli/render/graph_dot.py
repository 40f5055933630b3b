"""A topology in the language of Graphviz, and as SVG by its program ``dot``."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from cell_reconciler.cli.render.graph_marks import MARKS, label, worst
from cell_reconciler.cli.render.style import escape
from cell_reconciler.cli.topology import Node, Topology
from cell_reconciler.errors import CellError

_SHAPES = {
    "nic": "box",
    "bond": "box3d",
    "vlan": "box",
    "bridge": "hexagon",
    "port": "plain",
    "vm": "component",
    "volume": "cylinder",
}
_TIMEOUT = 120.0  # seconds; dot takes long for thousands of nodes


def lines(topology: Topology) -> Iterator[str]:
    """One digraph, from left to right."""
    yield f"digraph {_quoted(topology.host)} {{"
    yield "  rankdir=LR;"
    yield '  node [fontname="sans-serif", fontsize=11];'
    for node in topology.nodes:
        yield f"  {_quoted(node.id)} [{_attributes(node)}];"
    for edge in topology.edges:
        style = "" if edge.active else " [style=dashed]"
        yield f"  {_quoted(edge.below)} -> {_quoted(edge.above)}{style};"
    yield "}"


def svg(topology: Topology) -> str:
    """Drawn by ``dot``. Raises CellError when it is not installed, or cannot draw it."""
    try:
        done = subprocess.run(
            ["dot", "-Tsvg"],
            input="\n".join(lines(topology)),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
        )
    except FileNotFoundError:
        raise CellError("svg needs the program dot of Graphviz", "apt install graphviz, or take --format dot") from None
    except subprocess.TimeoutExpired:
        raise CellError(
            f"dot did not finish in {_TIMEOUT:.0f} s", "draw a part of it: cellctl graph KIND/NAME"
        ) from None
    except subprocess.CalledProcessError as error:
        raise CellError(f"dot failed: {error.stderr.strip()}", "--format dot shows what it was given") from None
    return done.stdout


def _attributes(node: Node) -> str:
    word = worst(node)
    text = "\\n".join(_escaped(line) for line in label(node))
    parts = [f'label="{text}"', f"shape={_SHAPES[node.type]}"]
    if word:
        parts += [f'color="{MARKS[word][2]}"', f'fontcolor="{MARKS[word][2]}"']
    if word == "missing":
        parts.append("style=dashed")
    return ", ".join(parts)


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """For a quoted string of dot: control characters made visible, then backslashes and quotes."""
    return escape(text).replace("\\", "\\\\").replace('"', '\\"')
