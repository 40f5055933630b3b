"""Files of the host that documents refer to for what is secret. Their content is never part of a message."""

from __future__ import annotations

import os
import stat

from cell_reconciler.errors import StepFailed

LARGEST = 512 * 1024  # bytes of a text for cloud-init
_PASSWORD = 8  # characters: VNC's DES key has no more, and a longer password would be cut off without a word
_ADVICE = "write it there, readable by root only; it is looked for again at every pass"


def text(file: str, most: int = LARGEST) -> str:
    """The content of a file, or of a systemd credential. Raises StepFailed with its path and what is wrong with it."""
    path = _path(file)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer must not block
        with open(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StepFailed(f"{path} is no file", _ADVICE)
            data = opened.read(most + 1)
    except OSError as error:
        raise StepFailed(f"{path} cannot be read: {error.strerror}", _ADVICE) from None
    if len(data) > most:
        raise StepFailed(f"{path} has more than {most} bytes", "is it the right file?")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise StepFailed(f"{path} is not text in UTF-8", "is it the right file?") from None


def _path(file: str) -> str:
    variable, slash, name = file.partition("/")
    if not variable:
        return file
    directory = os.environ.get(variable.removeprefix("$"))
    if not directory:
        raise StepFailed(f"{file}: systemd gave no credentials", "add LoadCredential= to the unit, or name a file")
    return f"{directory}{slash}{name}"


def password(file: str) -> str:
    """The password of a VNC console, without the newline at its end. Raises StepFailed."""
    found = text(file, 4096).removesuffix("\n").removesuffix("\r")
    path = _path(file)
    if not 0 < len(found) <= _PASSWORD:
        said = "is empty" if not found else f"has {len(found)} characters"
        raise StepFailed(f"the password in {path} {said}", f"a VNC password has 1 to {_PASSWORD} characters")
    if not all(" " <= character <= "~" for character in found):
        raise StepFailed(f"the password in {path} has others than printable ASCII characters", _ADVICE)
    return found
