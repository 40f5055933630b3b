"""Text of domain XML ↔ tree. The only place that imports lxml.

The parser reads what libvirt or we wrote, but as if a stranger had: no entities, no network, no huge trees.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml import etree
    from lxml.etree import _Element as Element


@cache
def _parser() -> etree.XMLParser:
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=False)


def parse(text: str) -> Element:
    """Raises lxml's XMLSyntaxError for what is no XML (libvirt never returns such)."""
    from lxml import etree

    return etree.fromstring(text, _parser())


def text(root: Element) -> str:
    """The document as text."""
    from lxml import etree

    return etree.tostring(root, encoding="unicode")
