"""The nearest known word to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; letter case does not matter."""
    by_lower = {name.lower(): name for name in known}
    if word.lower() in by_lower:  # as nearly always, and the search takes a while
        return by_lower[word.lower()]
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'image'?`` or nothing."""
    found = nearest(word, known)
    return f"; did you mean '{found}'?" if found else ""
