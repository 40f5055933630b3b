"""Strict YAML: bytes → plain values and the position of every key and value, in one pass over parser events.

Rule 1: scalars follow YAML 1.2. ``true``, ``null``, ``12``, ``0x1f``, ``0o17`` and ``1.5`` are what they look like;
everything else that is unquoted is a string: a MAC, ``0644``, ``10:00``, ``on``, ``2024-01-01``, ``1e3``.
Rule 2: what reads differently to different people is refused, with its place: duplicate keys, anchors, aliases, tags,
merge keys, keys that are not strings, control characters.
Rule 3: the file cannot hurt the reader: at most 1 MiB, 1000 documents, 50 levels. Events do not recurse, so a file of
100,000 ``[`` costs 50 events (PyYAML's own composer is killed by it).
Rule 4: every error of one run. After an error that ends a document, reading goes on at the next ``---``.
"""

from __future__ import annotations

import re
from sys import intern
from typing import Any

import msgspec
import yaml

from cell_reconciler.model.diagnostic import Diagnostic, Position

MAX_BYTES, MAX_DOCUMENTS, MAX_DEPTH = 1 << 20, 1000, 50

# libyaml where PyYAML was built with it (ten times faster), else the same events from the pure parser.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Scalar, _Alias = yaml.ScalarEvent, yaml.AliasEvent
_MapStart, _MapEnd = yaml.MappingStartEvent, yaml.MappingEndEvent
_SeqStart, _SeqEnd = yaml.SequenceStartEvent, yaml.SequenceEndEvent
_DocStart, _DocEnd, _End = yaml.DocumentStartEvent, yaml.DocumentEndEvent, yaml.StreamEndEvent

_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_OCT = re.compile(r"0o[0-7]+\Z")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+\Z")
_NUMERIC_START = frozenset("0123456789+-")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)

Marks = dict[int, Any]


class Raw(msgspec.Struct):
    """One document as it stands in a file.

    ``marks`` maps ``id(container)`` to the marks of its items: ``{key: (mark of key, mark of value)}`` for a mapping,
    ``[mark, …]`` for a list. ``intact`` is False when a part of the value is missing because of an error.
    """

    value: Any
    marks: Marks
    start: Any
    file: str
    offset: int = 0  # lines before the text that the marks count in
    intact: bool = True

    def position(self, mark: Any) -> Position:
        """The place of a mark in the file."""
        return Position(self.file, mark.line + 1 + self.offset, mark.column + 1)


class Parsed(msgspec.Struct):
    """What a file says, and what is wrong with how it says it."""

    documents: list[Raw]
    errors: list[Diagnostic]


class _Abandon(Exception):
    """The rest of the document cannot be read; the error is already noted."""


def parse(data: bytes, file: str) -> Parsed:
    """All documents of a file and all that is wrong with its YAML. Never raises on any bytes."""
    parsed = Parsed([], [])
    if len(data) > MAX_BYTES:
        size = f"{len(data) / MAX_BYTES:.1f} MiB" if len(data) > 1.05 * MAX_BYTES else f"{len(data)} bytes"
        _note(parsed, Position(file, 1), "file-size", f"the file has {size}, at most 1 MiB is read", "split it")
        return parsed
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _note(
            parsed, _byte_position(data, error.start, file), "encoding", f"byte 0x{data[error.start]:02x} is not UTF-8"
        )
        return parsed
    offset = 0
    while True:
        failed = _read(text, file, offset, parsed)
        if failed is None:
            return parsed
        rest = _SEPARATOR.search(text, _line_start(text, max(failed, 1)))
        if rest is None:
            return parsed
        offset += text.count("\n", 0, rest.start())
        text = text[rest.start() :]


def _read(text: str, file: str, offset: int, parsed: Parsed) -> int | None:
    """Read documents until the end (None) or an error that ends one: its line, counted from 0 in ``text``."""
    loader = None
    reader = _Document(file, offset, parsed)
    try:
        loader = _Loader(text)
        reader.run(loader.get_event)
        return None
    except _Abandon:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            reader.last = mark
        # libyaml from 0.2.6 on gives up at 1000 levels before it tells of the 51st.
        rule = "depth" if "maximum nesting depth" in (error.problem or "") else "syntax"
        reader.note(reader.last, rule, *_syntax(error, text))
    except yaml.reader.ReaderError as error:
        place = _unreadable(text)
        at = Position(file, place[0] + 1 + offset, place[1] + 1)
        _note(parsed, at, "control-character", f"the character {_spell(error.character)} is not allowed in YAML")
        reader.keep_partial()
        return place[0]
    except (ValueError, OverflowError) as error:  # the pure parser, on escapes such as "\UFFFFFFFF"
        reader.note(reader.last, "syntax", str(error))
    finally:
        if loader is not None:
            loader.dispose()
    reader.keep_partial()
    return reader.last.line if reader.last is not None else 0


class _Document:
    """Builds values from events. One instance reads documents until one of them has to be abandoned."""

    def __init__(self, file: str, offset: int, parsed: Parsed) -> None:
        self.file, self.offset, self.parsed = file, offset, parsed
        self.last: Any = None  # the mark of the last event
        self.raw: Raw | None = None  # the document that is being read

    def note(self, mark: Any, rule: str, message: str, advice: str = "") -> None:
        at = Position(self.file, mark.line + 1 + self.offset, mark.column + 1) if mark else Position(self.file, 1)
        _note(self.parsed, at, rule, message, advice)

    def keep_partial(self) -> None:
        """Keep what was read of an abandoned document: it may tell which resource it declares."""
        if self.raw is not None and isinstance(self.raw.value, dict):
            self.raw.intact = False
            self.parsed.documents.append(self.raw)

    def run(self, get_event: Any) -> None:  # noqa: PLR0912, PLR0915  # one loop without calls: the hot path
        """Read documents until the end of the stream. Raises _Abandon, and what the parser raises."""
        documents = self.parsed.documents
        stack: list[Any] = []
        node: Any = None
        table: Any = None
        is_map = False
        key: Any = None
        key_mark: Any = None
        while True:
            event = get_event()
            cls = type(event)
            mark = self.last = event.start_mark
            if cls is _Scalar:
                if event.anchor is not None or event.tag is not None:
                    self._decorated(event, mark)
                value: Any = event.value
                if is_map and key is None:
                    key, key_mark = self._key(event, value, mark, node, table), mark
                    continue
                if event.implicit[0]:
                    if value[:1] in _NUMERIC_START:
                        value = self._plain(value, mark)
                    elif value in _CONSTANTS:
                        value = _CONSTANTS[value]
                else:
                    self._quoted(value, event.style, mark)
            elif cls is _MapEnd or cls is _SeqEnd:
                node, table, is_map, key, key_mark = stack.pop()
                continue
            elif cls is _MapStart or cls is _SeqStart:
                if event.anchor is not None or event.tag is not None:
                    self._decorated(event, mark)
                value = {} if cls is _MapStart else []
            elif cls is _DocEnd:
                if self.raw is not None and self.raw.start is not None:
                    self._enough(documents)
                    documents.append(self.raw)
                self.raw = None
                continue
            elif cls is _DocStart:
                self.raw = Raw(None, {}, None, self.file, self.offset)
                node = table = key = None
                is_map = False
                continue
            elif cls is _Alias:
                self.note(mark, "alias", f"alias *{event.anchor} is not allowed", "write the value out")
                value = None
                if self.raw is not None:
                    self.raw.intact = False
                if node is None or (is_map and key is None):
                    raise _Abandon
            elif cls is _End:
                return
            else:
                continue  # the start of the stream
            if is_map:
                if key is None:
                    self.note(mark, "key-type", f"a key must be a string, got {_name(value)}")
                    raise _Abandon
                node[key] = value
                table[key] = (key_mark, mark)
                key = None
            elif node is not None:
                node.append(value)
                table.append(mark)
            elif self.raw is not None and (value is not None or event.value):
                self.raw.value, self.raw.start = value, mark
            if cls is _Scalar or cls is _Alias:
                continue
            if len(stack) >= MAX_DEPTH:
                self.note(mark, "depth", f"nested deeper than {MAX_DEPTH} levels")
                raise _Abandon
            stack.append((node, table, is_map, None, None))
            node, is_map = value, cls is _MapStart
            table = {} if is_map else []
            self.raw.marks[id(node)] = table  # type: ignore[union-attr]  # a container is always in a document

    def _enough(self, documents: list[Raw]) -> None:
        if len(documents) >= MAX_DOCUMENTS and self.raw is not None:
            message = f"more than {MAX_DOCUMENTS} documents in one file"
            self.note(self.raw.start, "too-many-documents", message, "split the file")
            self.last, self.raw = _EndOfFile, None
            raise _Abandon

    def _decorated(self, event: Any, mark: Any) -> None:
        if event.anchor is not None:
            self.note(mark, "anchor", f"anchor &{event.anchor} is not allowed", "write the value where it is needed")
        if event.tag is not None:
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.note(mark, "tag", f"tag {name} is not allowed", "quote a scalar to make it a string")

    def _key(self, event: Any, text: str, mark: Any, node: Any, table: Any) -> str:
        if event.implicit[0]:
            if text == "<<":
                self.note(mark, "merge-key", "merge keys (<<) are not allowed", "write the fields out")
                self._damaged()
            elif (text[:1] in _NUMERIC_START or text in _CONSTANTS) and not isinstance(self._plain(text, mark), str):
                self.note(mark, "key-type", f"a key must be a string, got {text or 'null'}", f'quote it: "{text}"')
                self._damaged()
        else:
            self._quoted(text, event.style, mark)
        if text in node:
            first = table[text][0]
            at = f"{first.line + 1 + self.offset}:{first.column + 1}"
            self.note(mark, "duplicate-key", f"'{text}' is given twice (first at {at})", "keep one of them")
        return intern(text)

    def _damaged(self) -> None:
        if self.raw is not None:
            self.raw.intact = False

    def _plain(self, text: str, mark: Any) -> Any:
        """An unquoted scalar, as YAML 1.2 reads it."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.match(text):
            number = int(text) if len(text) < 25 else 1 << 99  # Python refuses to convert very long ones
        elif _HEX.match(text):
            number = int(text, 16)
        elif _OCT.match(text):
            number = int(text[2:], 8)
        else:
            return float(text) if _FLOAT.match(text) and len(text) < 300 else text
        if not -(1 << 63) <= number < 1 << 63:
            short = text if len(text) < 40 else text[:37] + "..."
            self.note(mark, "number", f"{short} does not fit in 64 bits", "quote it if it is a text")
            return -(1 << 63) if text.startswith("-") else (1 << 63) - 1  # so that no limit says something else
        return number

    def _quoted(self, text: str, style: str, mark: Any) -> None:
        """Only double-quoted strings have escapes, and so can hold what a file itself cannot."""
        if style == '"' and (found := _CONTROL.search(text)):
            self.note(mark, "control-character", f"the string holds the character {_spell(found[0])}", "leave it out")
            self._damaged()


class _EndOfFile:
    """A mark behind everything: nothing is read after it."""

    line = MAX_BYTES
    column = 0


def _name(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a mapping"


def _note(parsed: Parsed, at: Position, rule: str, message: str, advice: str = "") -> None:
    found = Diagnostic(position=at, rule=rule, message=message, advice=advice)
    if found not in parsed.errors[-1:]:  # reading goes on at the line of the error if that starts a document
        parsed.errors.append(found)


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """The parser's message in one line, and advice for the everyday causes."""
    problem = (error.problem or "not YAML").replace("\n", " ")
    message = f"{error.context.strip()}: {problem}" if error.context else problem
    mark = error.problem_mark
    line = text.split("\n")[mark.line] if mark is not None and mark.line < text.count("\n") + 1 else ""
    if "\t" in line[: (mark.column if mark else 0) + 1]:
        return message, "indent with spaces, YAML forbids tabs"
    if "mapping values are not allowed" in problem:
        return message, "quote the text, or check the indentation"
    if "cannot start any token" in problem:
        return message, "quote the text"
    return message, ""


def _unreadable(text: str) -> tuple[int, int]:
    """Line and column (from 0) of the first character that YAML does not allow in a file."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    at = found.start() if found else 0
    return text.count("\n", 0, at), at - (text.rfind("\n", 0, at) + 1)


def _byte_position(data: bytes, at: int, file: str) -> Position:
    start = data.rfind(b"\n", 0, at) + 1
    return Position(file, data.count(b"\n", 0, at) + 1, len(data[start:at].decode("utf-8", "replace")) + 1)


def _line_start(text: str, line: int) -> int:
    """Index of the start of a line (from 0); the end of the text if there are fewer."""
    at = 0
    for _ in range(line):
        at = text.find("\n", at) + 1
        if at == 0:
            return len(text)
    return at


def _spell(character: str | int) -> str:
    return f"U+{ord(character) if isinstance(character, str) else character:04X}"
