"""A topology in the language of Graphviz, and as SVG by its program ``dot``."""

from __future__ import annotations

import html
import subprocess
from collections.abc import Iterator

from cell_reconciler.cli.render.graph_marks import MARKS, label, total, worst
from cell_reconciler.cli.render.style import escape
from cell_reconciler.cli.topology import TYPES, Node, Topology
from cell_reconciler.errors import CellError

# shape and fill of each type: pale, so that a black and white printer leaves the text readable
_LOOKS = {
    "nic": ("box", "#eceff1"),
    "bond": ("box", "#e3f2fd"),
    "vlan": ("box", "#ede7f6"),
    "bridge": ("box", "#e8f5e9"),
    "port": ("plain", "#ffffff"),
    "vm": ("box", "#fff8e1"),
    "volume": ("cylinder", "#f5f5f5"),
}
_FONT = "Helvetica,Arial,sans-serif"
_GREY, _INK = "#616161", "#212121"
_TIMEOUT = 120.0  # seconds; dot takes long for thousands of nodes


def lines(topology: Topology) -> Iterator[str]:
    """One digraph, from left to right, a column for each type; the host and a sum of what is marked above it."""
    yield f"digraph {_quoted(topology.host)} {{"
    yield "  rankdir=LR; ranksep=0.6; nodesep=0.18; bgcolor=white;"
    yield f'  fontname="{_FONT}"; labelloc=t; label=<{_title(topology)}>;'
    yield f'  node [fontname="{_FONT}", fontsize=11, fontcolor="{_INK}", color="#90a4ae", style="rounded,filled"];'
    yield f'  edge [color="{_GREY}", arrowsize=0.6];'
    for node in topology.nodes:
        yield f"  {_quoted(node.id)} [{_attributes(node)}];"
    for type in TYPES:
        same = [_quoted(node.id) for node in topology.nodes if node.type == type]
        if len(same) > 1:
            yield f"  {{ rank=same; {'; '.join(same)} }}"
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


def _title(topology: Topology) -> str:
    return f'<font point-size="16"><b>{_html(topology.host)}</b></font><br/>{_html(total(topology))}<br/> '


def _attributes(node: Node) -> str:
    shape, fill = _LOOKS[node.type]
    word = worst(node)
    name, detail, *states = (_html(line) for line in label(node))
    text = [f"<b>{name}</b>", f'<font point-size="9" color="{_GREY}">{detail}</font>']
    text += [f'<font point-size="9">{state}</font>' for state in states]
    parts = [f"label=<{'<br/>'.join(text)}>", f"shape={shape}"]
    parts += [f'fillcolor="{fill}"'] if word != "missing" else ['fillcolor="#ffffff"']
    if word:
        parts += [f'color="{MARKS[word][2]}"', f'fontcolor="{MARKS[word][2]}"', "penwidth=1.5"]
    if word == "missing":
        parts.append('style="rounded,filled,dashed"')
    elif node.type == "volume":
        parts += ["style=filled", 'margin="0.15,0.12"']
    return ", ".join(parts)


def _html(text: str) -> str:
    """For a label that is like HTML: control characters made visible, the rest as XML wants it."""
    return html.escape(escape(text))


def _quoted(text: str) -> str:
    """A quoted string of dot: control characters made visible, then backslashes and quotes."""
    inner = escape(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'
