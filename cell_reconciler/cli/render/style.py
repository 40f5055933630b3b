"""Colour and the escaping of hostile text."""

from __future__ import annotations

_CODES = {
    "green": "32",
    "red": "31",
    "yellow": "33",
    "cyan": "36",
    "dim": "2",
    "bold": "1",
}
# Characters that reorder or hide text without being control characters (Trojan Source): bidi, zero width, tags.
_INVISIBLE = frozenset(
    [0x061C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF, *range(0xE0000, 0xE0080)]
)


def escape(text: str, keep: str = "") -> str:
    """Make control, bidi and invisible characters visible (``\\x1b``), so that a value cannot drive the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _hostile(c) else _visible(c) for c in text)


def _hostile(char: str) -> bool:
    code = ord(char)
    return (
        code < 0x20 or 0x7F <= code < 0xA0 or code in _INVISIBLE or 0xD800 <= code < 0xE000 or code in (0x2028, 0x2029)
    )


def _visible(char: str) -> str:
    code = ord(char)
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


class Style:
    """Paints words, or leaves them alone."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def paint(self, text: str, *names: str) -> str:
        """``text`` in the named colours; unchanged without colour."""
        if not self.color or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"
