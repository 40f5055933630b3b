"""What several parts of a spec are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Fields = dict[str, Any]


def optional(required: Mapping[str, Any] | None = None, **fields: Any) -> st.SearchStrategy[Fields]:
    """Some of the fields, and all that are required."""
    return st.fixed_dictionaries(dict(required or {}), optional=fields)


def merged(*parts: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
    """The fields of all parts."""
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,8}", fullmatch=True)
words = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}", fullmatch=True)
printable = st.text(
    st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f"), min_size=1, max_size=30
)
uuids = st.uuids().map(str)
pci_addresses = st.from_regex(r"[0-9a-d][0-9a-f]{3}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", fullmatch=True)
secrets = st.sampled_from([{"file": "/root/secret"}, {"credential": "secret"}])
cpusets = st.builds(
    lambda first, more, out: f"{first}-{first + more}" + (f",^{first + more}" if out and more else ""),
    st.integers(0, 99),
    st.integers(0, 9),
    st.booleans(),
)
