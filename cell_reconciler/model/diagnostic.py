"""What is wrong (or doubtful) in a spec, and where: ``file:line:col: error [rule] message (pointer)``."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a file; line and column count from 1, as editors and compilers do."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(StrEnum):
    ERROR = "error"  # the document is not used; its last good version stays in force
    WARNING = "warning"  # used; somebody should look


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. ``rule`` is a stable id (kebab-case); ``pointer`` is the RFC 6901 path in the document."""

    position: Position
    rule: str
    message: str
    severity: Severity = Severity.ERROR
    pointer: str = ""
    advice: str = ""

    def __str__(self) -> str:
        tail = f" ({self.pointer})" if self.pointer else ""
        return f"{self.position}: {self.severity} [{self.rule}] {self.message}{tail}"
