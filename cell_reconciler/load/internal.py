"""A bug of ours that one file or document meets: it is reported there, and keeps nothing else from counting."""

from __future__ import annotations

import os
import traceback

from cell_reconciler.model.diagnostic import Diagnostic, Position

_LONGEST = 200  # of what the exception says: it may quote the whole document


def finding(error: Exception, position: Position) -> Diagnostic:
    """The error of the file or document at ``position``, whose last good version stays in force."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:_LONGEST]
    return Diagnostic(
        position=position,
        rule="internal",
        message=f"internal error: {type(error).__name__}: {text} ({os.path.basename(frame.filename)}:{frame.lineno})",
        advice="what was in force before stays so; please report this, with the file",
    )
