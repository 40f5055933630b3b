"""References to secrets: what stands in a document instead of the secret itself."""

from __future__ import annotations

from collections.abc import Iterable
from posixpath import normpath
from typing import Annotated

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc

_WORD = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"  # a name that no path splits
_ABSOLUTE = r"^/[^\x00-\x1f]*$"


class SecretRef(Spec, frozen=True, kw_only=True):
    """Where a secret is. Exactly one of `file` and `credential`; the value itself never stands in a spec."""

    file: (
        Annotated[str, doc("Absolute path of a file that only root can read.", Effect.POLICY, pattern=_ABSOLUTE)]
        | UnsetType
    ) = UNSET
    credential: (
        Annotated[
            str,
            doc(
                "Name of a systemd credential (`LoadCredential=`) of the service.",
                Effect.POLICY,
                pattern=_WORD,
            ),
        ]
        | UnsetType
    ) = UNSET


def secret_file(ref: SecretRef) -> str:
    """A path; ``$CREDENTIALS_DIRECTORY/NAME`` for a systemd credential: the driver expands it."""
    return f"$CREDENTIALS_DIRECTORY/{ref.credential}" if ref.credential else ref.file or ""


def check_secret(ref: SecretRef, pointer: str) -> Iterable[Problem]:
    """What JSON Schema cannot say about a reference."""
    if bool(ref.file) == bool(ref.credential):
        message = "a secret has exactly one of `file` and `credential`"
        yield Problem(pointer=pointer, rule="exactly-one", message=message)
    if ref.file:
        yield from check_path(ref.file, f"{pointer}/file")


def check_path(path: str, pointer: str) -> Iterable[Problem]:
    """A path is written in one way only."""
    normal = normpath(path).replace("//", "/")
    if path != normal or normal == "/":
        yield Problem(
            pointer=pointer,
            rule="normal-path",
            message=f"{path!r} is not a normalised path below /",
            advice=f"write {normal}" if normal != "/" else "",
        )
