"""The exit codes: one table for the code, the help and the documentation."""

from __future__ import annotations

from collections.abc import Iterable

OK, FAILED, USAGE, DIFFERENCES, INVALID, UNREACHABLE, REFUSED, UNHEALTHY = range(8)
BROKEN_PIPE, INTERRUPTED, TERMINATED = 141, 130, 143  # 128 + signal, as shells report it

MEANING: dict[int, str] = {
    OK: "done; no differences (or differences, without --exit-code)",
    FAILED: "failed",
    USAGE: "the command line is wrong",
    DIFFERENCES: "there are differences (with --exit-code)",
    INVALID: "specs are invalid",
    UNREACHABLE: "a source did not answer, so the answer is not trustworthy",
    REFUSED: "refused: protected, conflict, stale plan, missing permission, a gate",
    UNHEALTHY: "applied, but not healthy in time, or rolled back",
}

# When several hold. A write that failed is said first; then what makes the answer itself doubtful.
_PRECEDENCE = (FAILED, USAGE, UNREACHABLE, INVALID, REFUSED, UNHEALTHY, DIFFERENCES, OK)


def worst(codes: Iterable[int]) -> int:
    """The code to exit with when several hold: 1, 2, then 5 > 4 > 6 > 7 > 3; 0 for none."""
    held = set(codes)
    return next((code for code in _PRECEDENCE if code in held), OK)


def epilog(codes: Iterable[int]) -> str:
    """The lines for the end of a command's help."""
    return "exit codes:\n" + "\n".join(f"  {code}  {MEANING[code]}" for code in sorted(set(codes)))
