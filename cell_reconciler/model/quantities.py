"""Quantities as people write them, held in canonical units.

``Bytes("8GiB")`` is an int of bytes, ``Duration("90s")`` a float of seconds, ``Mac("52:54:00:AA:…")`` a lower-case
string, ``Cpus("2.5")`` an int of thousandths, ``CpuSet("0-3,^2")`` the string ``0-1,3``. Only binary size suffixes
exist: libvirt reads ``MB`` as 10^6, Proxmox as 2^20, so the ambiguous ones are refused. Each type knows its JSON
Schema, so that editors check the same rule, and how much of it there may be: what is written in a document has to fit
whatever uses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Self

# Python's $ also matches before a final newline; (?!\n) makes it mean the end, as in JSON Schema's dialect.
_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_SHORT = {"Ki": "KiB", "Mi": "MiB", "Gi": "GiB", "Ti": "TiB", "Pi": "PiB"}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^(0|[1-9][0-9]*)((?:[KMGTP]iB?)|B)$(?!\n)")
_TIME = re.compile(r"^(0|[1-9][0-9]*)(ms|s|m|h|d)$(?!\n)")
_CPUS = re.compile(r"^(0|[1-9][0-9]*)(?:\.([0-9]{1,3})|(m))?$(?!\n)")
_CPU_SET = re.compile(r"^([0-9]{1,5}(-[0-9]{1,5})?|\^[0-9]{1,5})(,([0-9]{1,5}(-[0-9]{1,5})?|\^[0-9]{1,5}))*$(?!\n)")
_CPU_MOST = 16384  # CPUs that libvirt can name (VIR_DOMAIN_CPUMASK_LEN)
_MOST_BYTES = 8191 * 2**50  # in whole PiB, what a file of Linux can have (2^63)
_MOST_SECONDS = 10_000 * 86400.0  # 27 years: Ceph counts the end of a time in the trash in 32 bits, until 2106
_DIGITS = 20  # more than any of the limits has
_MAC = re.compile(r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$(?!\n)")


QUANTITY = "x-cell-quantity"  # keyword of a JSON Schema: which of them it is, since a pattern cannot say how much


class Quantity:
    """What the types share: made from the text of a spec, described by a JSON Schema."""

    schema: ClassVar[dict[str, Any]]

    @classmethod
    def parse(cls, given: Any) -> Self:
        """What a document says. Raises ValueError with the rule."""
        raise TypeError(f"a concrete quantity reads its spelling, such as {given!r}")

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
            raise ValueError(f"{_shown(text)} is not a size; write a whole number with KiB, MiB, GiB or TiB")
        unit = match[2]
        size = _whole(match[1]) * _UNITS[_SHORT.get(unit, unit)]
        if size > _MOST_BYTES:
            raise ValueError(f"{_shown(text)} is more than {cls(_MOST_BYTES).to_text()}")
        return cls(size)

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
            raise ValueError(f"{_shown(text)} is not a duration; write a whole number with ms, s, m, h or d")
        seconds = _whole(match[1]) * _SECONDS[match[2]]
        if seconds > _MOST_SECONDS:
            raise ValueError(f"{_shown(text)} is more than {cls(_MOST_SECONDS).to_text()}")
        return cls(seconds)

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
            raise ValueError(f"{_shown(text)} is not a MAC address; write six octets such as 52:54:00:10:20:30")
        return cls(text.lower())

    @property
    def unicast(self) -> bool:
        """True when the group bit of the first octet is clear (IEEE 802)."""
        return not int(self[:2], 16) & 1

    def to_text(self) -> str:
        return str(self)


class Cpus(int, Quantity):
    """CPU time in thousandths of a CPU, written ``2``, ``2.5`` or ``2500m`` as in Kubernetes; quotes are not needed."""

    schema = {
        "type": ["string", "number"],
        "pattern": _CPUS.pattern,
        "minimum": 0,
        "maximum": _CPU_MOST,
        "examples": [2, "500m"],
    }

    @classmethod
    def parse(cls, given: str | float) -> Cpus:
        """Raises ValueError unless it is a number of CPUs with at most three decimals, or of thousandths with ``m``."""
        match = _CPUS.fullmatch(str(given))
        if not match:
            raise ValueError(f"{_shown(given)} is not a number of CPUs; write 2, 2.5 or 2500m")
        whole = _whole(match[1])
        count = whole if match[3] else whole * 1000 + int((match[2] or "").ljust(3, "0"))
        if count > _CPU_MOST * 1000:
            raise ValueError(f"{_shown(given)} is more than {_CPU_MOST} CPUs")
        return cls(count)

    def to_text(self) -> str:
        return f"{int(self)}m" if self % 1000 else str(int(self) // 1000)


class CpuSet(str, Quantity):
    """Numbers of CPUs (or of NUMA nodes) as libvirt writes them, ``0-3,^2``: held sorted and merged, ``0-1,3``."""

    __slots__ = ()
    schema = {
        "type": ["string", "integer"],
        "pattern": _CPU_SET.pattern,
        "minimum": 0,
        "maximum": _CPU_MOST - 1,
        "examples": ["0-3,^2", 4],
    }

    @classmethod
    def parse(cls, given: str | int) -> CpuSet:
        """Raises ValueError unless it names at least one CPU, by number, range, or ``^`` for what is left out again."""
        if not _CPU_SET.fullmatch(str(given)):
            raise ValueError(f"{_shown(given)} is not a set of CPUs; write numbers and ranges such as 0-3,^2")
        found: set[int] = set()
        for part in str(given).split(","):  # in this order, as libvirt does: "^2,0-3" has 2 in it
            if part.startswith("^"):
                found.discard(int(part[1:]))
                continue
            first, _, last = part.partition("-")
            if int(first) > int(last or first) or int(last or first) >= _CPU_MOST:
                raise ValueError(f"{_shown(given)}: {part} is no range of CPUs from 0 to {_CPU_MOST - 1}")
            found.update(range(int(first), int(last or first) + 1))
        if not found:
            raise ValueError(f"{_shown(given)} names no CPU")
        return cls.of(found)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> CpuSet:
        """The set of these numbers; empty text for none."""
        ranges: list[list[int]] = []
        for number in sorted(set(numbers)):
            if ranges and number == ranges[-1][1] + 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        return cls(",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges))

    @property
    def numbers(self) -> frozenset[int]:
        """Its members."""
        ranges = (part.partition("-") for part in self.split(",") if part)
        return frozenset(n for first, _, last in ranges for n in range(int(first), int(last or first) + 1))

    def to_text(self) -> str:
        return str(self)


QUANTITIES: dict[str, type[Quantity]] = {kind.__name__: kind for kind in (Bytes, Duration, Mac, Cpus, CpuSet)}


def _whole(digits: str) -> int:
    """The number, or one beyond every limit: Python refuses to convert very long ones, and floats end."""
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else text[:56] + "...'"
