"""Specs as they were at a git revision: read through git's plumbing, without touching the work tree."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from cell_reconciler.errors import CellError, UsageError
from cell_reconciler.load.source import STDIN, files_of_tree
from cell_reconciler.load.yaml_events import MAX_BYTES

_REVISION = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./@{}^~+-]*\Z")
_TIMEOUT = 60.0


def contents(revision: str, paths: Sequence[str]) -> dict[str, bytes]:
    """File name → content of every spec below ``paths`` at the revision; names as the work tree has them.

    Raises UsageError for a revision or path that git does not know, CellError when git fails.
    """
    if STDIN in paths:
        raise UsageError("standard input has no revisions", "give files or directories with -f")
    if not _REVISION.match(revision):
        raise UsageError(f"{revision!r} is not a git revision", "give a branch, tag or commit, such as origin/main")
    found: dict[str, bytes] = {}
    for path in paths:
        found.update(_below(revision, path))
    return found


def _below(revision: str, path: str) -> Iterator[tuple[str, bytes]]:
    absolute = Path(os.path.abspath(path))
    directory = next(parent for parent in (absolute, *absolute.parents) if parent.is_dir())
    top = Path(_git(directory, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    commit = _git(
        directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", wrong=revision
    )
    inside = Path(os.path.realpath(absolute)).relative_to(os.path.realpath(top)).as_posix()
    listing = _git(
        top,
        "ls-tree",
        "-r",
        "-l",
        "-z",
        "--full-tree",
        commit.decode().strip(),
        "--",
        *([inside] if inside != "." else []),
    )
    blobs = dict(_blobs(listing))
    for name in files_of_tree(iter(blobs), [inside]):
        blob, size = blobs[name]
        relative = os.path.relpath(name, inside) if inside != name else ""
        shown = f"{path.rstrip('/')}/{relative}" if relative else path
        # one byte too many makes the loader refuse it, without reading all of it
        yield shown, _git(top, "cat-file", "blob", blob) if size <= MAX_BYTES else bytes(MAX_BYTES + 1)


def _blobs(listing: bytes) -> Iterator[tuple[str, tuple[str, int]]]:
    for line in listing.split(b"\0"):
        facts, _, name = line.partition(b"\t")
        words = facts.split()
        if len(words) == 4 and words[1] == b"blob" and words[0] != b"120000":
            yield os.fsdecode(name), (words[2].decode(), int(words[3]))


def _git(directory: Path, *argv: str, wrong: str = "") -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *argv],
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise CellError("git is not installed", "install git, or compare with a live host") from None
    except subprocess.TimeoutExpired:
        raise CellError(f"git {argv[0]} took more than {_TIMEOUT:.0f} s") from None
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        if wrong:
            raise UsageError(
                f"{wrong!r} is not a revision of this repository", "in CI, fetch it first (fetch-depth: 0)"
            )
        raise CellError(f"git {argv[0]} failed: {reason}", "is it a git work tree?")
    return done.stdout
