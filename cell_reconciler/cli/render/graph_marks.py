"""What the drawings of a topology have in common: signs, words and colours of its states."""

from __future__ import annotations

from collections import Counter

from cell_reconciler.cli.topology import Node, State, Topology

# word → sign, colour of ``style``, colour of a drawing. The first that a node has paints it.
MARKS = {
    "missing": ("+", "green", "#2a8a3e"),
    "down": ("!", "red", "#c62828"),
    "no-carrier": ("!", "red", "#c62828"),
    "refused": ("!", "red", "#c62828"),
    "drift": ("~", "yellow", "#b26a00"),
    "pending": ("~", "yellow", "#b26a00"),
    "undeclared": ("-", "red", "#c62828"),
    "unknown": ("?", "cyan", "#00838f"),
    "foreign": ("?", "cyan", "#00838f"),
}


def worst(node: Node) -> str | None:
    """The word that a node is painted for."""
    words = {state.word for state in node.states}
    return next((word for word in MARKS if word in words), None)


def said(state: State) -> str:
    """``drift: mtu``, ``no carrier``."""
    word = state.word.replace("-", " ")
    return f"{word}: {state.text}" if state.text else word


def total(topology: Topology) -> str:
    """``2 down, 1 drift``: how often each word stands in the picture; empty when none does."""
    count = Counter(state.word for node in topology.nodes for state in node.states)
    return ", ".join(f"{count[word]} {word.replace('-', ' ')}" for word in MARKS if count[word])


def label(node: Node) -> list[str]:
    """The lines of a node in a drawing: sign and name, what it is, its states in words: colour is never all."""
    word = worst(node)
    lines = [f"{MARKS[word][0]} {node.name}" if word else node.name]
    lines.append(f"{node.type} {node.detail}".rstrip())
    return lines + [said(state) for state in node.states]
