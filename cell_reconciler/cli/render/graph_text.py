"""A topology as a tree of text. What hangs on several things is shown in full once, and referred to after that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from cell_reconciler.cli.render.graph_marks import MARKS, said, total, worst
from cell_reconciler.cli.render.style import Style, escape
from cell_reconciler.cli.topology import Edge, Node, Topology

_UNICODE = ("├─ ", "└─ ", "│  ", "   ")
_ASCII = ("|- ", "`- ", "|  ", "   ")


def lines(topology: Topology, *, color: bool, ascii: bool = False) -> Iterator[str]:
    """The tree from what carries everything, and a sum of what is marked."""
    style, draw = Style(color), _ASCII if ascii else _UNICODE
    nodes = {node.id: node for node in topology.nodes}
    above: dict[str, list[Edge]] = defaultdict(list)
    for edge in topology.edges:
        above[edge.below].append(edge)
    order = {node.id: index for index, node in enumerate(topology.nodes)}
    for edges in above.values():
        edges.sort(key=lambda edge: order[edge.above])
    carried = {edge.above for edge in topology.edges}
    seen: set[str] = set()
    yield style.paint(escape(topology.host), "bold")
    # Roots first; then what only hangs in a circle, which a damaged snapshot may have.
    for node in (*(n for n in topology.nodes if n.id not in carried), *topology.nodes):
        if node.id not in seen:
            yield from _branch(node, nodes, above, seen, style, draw)
    if marked := total(topology):
        yield ""
        yield marked


def _branch(
    root: Node,
    nodes: dict[str, Node],
    above: dict[str, list[Edge]],
    seen: set[str],
    style: Style,
    draw: tuple[str, str, str, str],
) -> Iterator[str]:
    """Depth first, with a stack of its own: a chain may be longer than Python recurses."""
    stack: list[tuple[Node, Edge | None, str, str]] = [(root, None, "", "")]
    while stack:
        node, edge, head, tail = stack.pop()
        again = node.id in seen
        yield head + _line(node, edge, style, again=again)
        if again:
            continue
        seen.add(node.id)
        edges = above.get(node.id, [])
        for index in range(len(edges) - 1, -1, -1):
            last = index == len(edges) - 1
            mark, rest = (draw[1], draw[3]) if last else (draw[0], draw[2])
            stack.append((nodes[edges[index].above], edges[index], tail + mark, tail + rest))


def _line(node: Node, edge: Edge | None, style: Style, *, again: bool) -> str:
    word = worst(node)
    sign, color = MARKS[word][:2] if word else ("", "bold")
    name = escape(f"{sign} {node.name}".lstrip())
    parts = [style.paint(name, color)]
    if again:
        return f"{parts[0]}  {style.paint('(see above)', 'dim')}"
    parts.append(style.paint(escape(f"{node.type} {node.detail}".rstrip()), "dim"))
    parts += [style.paint(escape(f"[{said(state)}]"), MARKS[state.word][1]) for state in node.states]
    if edge is not None and not edge.active:
        parts.append(style.paint("(defined, not plugged in now)", "dim"))
    return "  ".join(parts)
