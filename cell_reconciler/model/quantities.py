"""Quantities as people write them, held in canonical units.

``Bytes("8GiB")`` is an int of bytes, ``Duration("90s")`` a float of seconds, ``Mac("52:54:00:AA:…")`` a lower-case
string. Only binary size suffixes exist: libvirt reads ``MB`` as 10^6, Proxmox as 2^20, so the ambiguous ones are
refused. Each type knows its JSON Schema, so that editors check the same rule.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

# Python's $ also matches before a final newline; (?!\n) makes it mean the end, as in JSON Schema's dialect.
_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_SHORT = {"Ki": "KiB", "Mi": "MiB", "Gi": "GiB", "Ti": "TiB", "Pi": "PiB"}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^(0|[1-9][0-9]*)((?:[KMGTP]iB?)|B)$(?!\n)")
_TIME = re.compile(r"^(0|[1-9][0-9]*)(ms|s|m|h|d)$(?!\n)")
_MAC = re.compile(r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$(?!\n)")


class Quantity:
    """What the three types share: made from the text of a spec, described by a JSON Schema."""

    schema: ClassVar[dict[str, Any]]

    def to_text(self) -> str:
        """The canonical spelling, as a spec would have it."""
        raise TypeError("a concrete quantity defines its spelling")


class Bytes(int, Quantity):
    """A size in bytes, written ``512MiB``, ``8GiB`` (``8Gi`` is accepted as Kubernetes writes it)."""

    schema = {
        "type": "string",
        "pattern": _SIZE.pattern,
        "examples": ["512MiB", "8GiB"],
    }

    @classmethod
    def parse(cls, text: str) -> Bytes:
        """Raises ValueError unless ``text`` is a whole number with a binary suffix."""
        match = _SIZE.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a size; write a whole number with KiB, MiB, GiB or TiB")
        unit = match[2]
        return cls(int(match[1]) * _UNITS[_SHORT.get(unit, unit)])

    def to_text(self) -> str:
        for unit in ("PiB", "TiB", "GiB", "MiB", "KiB"):
            if self and self % _UNITS[unit] == 0:
                return f"{int(self) // _UNITS[unit]}{unit}"
        return f"{int(self)}B"


class Duration(float, Quantity):
    """A time span in seconds, written ``500ms``, ``60s``, ``5m``, ``2h``."""

    schema = {"type": "string", "pattern": _TIME.pattern, "examples": ["60s", "5m"]}

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Raises ValueError unless ``text`` is a whole number with ms, s, m, h or d."""
        match = _TIME.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a duration; write a whole number with ms, s, m, h or d")
        return cls(int(match[1]) * _SECONDS[match[2]])

    def to_text(self) -> str:
        millis = round(self * 1000)
        for unit in ("d", "h", "m", "s"):
            size = round(_SECONDS[unit] * 1000)
            if millis and millis % size == 0:
                return f"{millis // size}{unit}"
        return f"{millis}ms"


class Mac(str, Quantity):
    """An Ethernet address, held in lower case. Unicast is checked where it matters (a NIC), not here."""

    __slots__ = ()
    schema = {"type": "string", "pattern": _MAC.pattern, "examples": ["52:54:00:10:20:30"]}

    @classmethod
    def parse(cls, text: str) -> Mac:
        """Raises ValueError unless ``text`` is six hexadecimal octets."""
        if not _MAC.fullmatch(text):
            raise ValueError(f"{text!r} is not a MAC address; write six octets such as 52:54:00:10:20:30")
        return cls(text.lower())

    @property
    def unicast(self) -> bool:
        """True when the group bit of the first octet is clear (IEEE 802)."""
        return not int(self[:2], 16) & 1

    def to_text(self) -> str:
        return str(self)
