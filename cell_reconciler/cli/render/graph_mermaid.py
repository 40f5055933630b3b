"""A topology as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.cli.render.graph_marks import MARKS, label, worst
from cell_reconciler.cli.render.style import escape
from cell_reconciler.cli.topology import Topology

_SHAPES = {
    "nic": ("[", "]"),
    "bond": ("[[", "]]"),
    "vlan": ("[", "]"),
    "bridge": ("{{", "}}"),
    "port": ("([", "])"),
    "vm": ("(", ")"),
    "volume": ("[(", ")]"),
}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._/:+-~,@?!")


def lines(topology: Topology) -> Iterator[str]:
    """The nodes are numbered: a name in Mermaid could be one of its words."""
    number = {node.id: f"n{index}" for index, node in enumerate(topology.nodes)}
    yield "flowchart LR"
    for node in topology.nodes:
        begin, end = _SHAPES[node.type]
        word = worst(node)
        text = "<br/>".join(_escaped(line) for line in label(node))
        yield f'  {number[node.id]}{begin}"{text}"{end}' + (f":::{word.replace('-', '')}" if word else "")
    for edge in topology.edges:
        yield f"  {number[edge.below]} {'-->' if edge.active else '-.->'} {number[edge.above]}"
    for word in sorted({found for node in topology.nodes if (found := worst(node))}):
        dashes = ",stroke-dasharray:4" if word == "missing" else ""
        yield f"  classDef {word.replace('-', '')} stroke:{MARKS[word][2]},color:{MARKS[word][2]}{dashes}"


def _escaped(text: str) -> str:
    """Mermaid's own entities (#34;) for everything that could mean something to it, or to HTML."""
    return "".join(c if c in _PLAIN else f"#{ord(c)};" for c in escape(text))
