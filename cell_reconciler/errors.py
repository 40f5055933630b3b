"""Every error that this project raises on purpose.

::

    CellError                 1   something failed
    ├── UsageError            2   the command line is wrong
    ├── SpecError             4   specs are invalid; carries the diagnostics
    ├── Unreachable           5   a source did not answer: nothing can be said about it      (retry helps)
    ├── Refused               6   protected, conflicting, stale or gated: nothing was done
    ├── NotHealthy            7   applied, but not healthy in time, or rolled back
    ├── Transient             1   busy now: a job holds the object, a device is in use       (retry helps)
    ├── StepFailed            1   a step did not have its effect, read back after it was made (retry helps)
    └── Interrupted           1   a step was told not to wait any longer                      (retry helps)

The number is the exit code of ``cellctl``; ``retryable`` tells the watch loop whether trying again without a
change of the specs can help; ``advice`` is the sentence that tells the operator what to do.

What the host itself refuses about our own files stays an OSError; ``about`` and ``of_host`` give it its words.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import ClassVar


class CellError(Exception):
    """Base of all: ``message`` says what and where, ``advice`` what to do about it."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return self.message


class UsageError(CellError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class SpecError(CellError):
    """The specs are invalid; what is in force stays in force."""

    exit_code = 4


class Unreachable(CellError):
    """A source (libvirt, netlink, Ceph, a directory) did not answer; it is unknown, not absent."""

    exit_code = 5
    retryable = True

    def __init__(self, source: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{source} is unreachable: {reason}", advice)
        self.source = source
        self.reason = reason


class Refused(CellError):
    """Doing it would break a promise: protected, conflict, stale plan, a gate."""

    exit_code = 6


class NotHealthy(CellError):
    """The changes were made, but the result is not healthy within the time allowed."""

    exit_code = 7


class Transient(CellError):
    """The object is busy (a libvirt job, a device in use); the same step may succeed later."""

    retryable = True


class StepFailed(CellError):
    """A step was made, and reading back shows that it had no or another effect."""

    retryable = True


class Interrupted(CellError):
    """A step was told not to wait any longer; what it waits for is left as it is, and may still come."""

    retryable = True


@contextmanager
def about(path: str | PathLike[str]) -> Iterator[None]:
    """Let every OSError name the file, as those of open(2) do: write(2) and fsync(2) do not know it."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = fspath(path)
        raise


def of_host(error: OSError) -> tuple[str, str]:
    """The message and the advice; best of an error that names its file."""
    advice = ""
    if isinstance(error, PermissionError):
        advice = "cellctl changes a host as root: try sudo"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is not None:
        advice = f"make room on the file system that has it: df -h {error.filename}"
    elif error.errno == errno.EROFS:
        advice = "its file system is read-only: dmesg may say why"
    return str(error) if error.filename is None else f"{error.filename}: {error.strerror}", advice
