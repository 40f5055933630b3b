"""Files → documents that can be trusted, and everything that is wrong with the rest.

::

    source ─bytes→ yaml_events ─values, marks→ documents ─entries→ together ─documents→ Loaded
    (files, git)   (strict YAML)              (schema, perHost)    (duplicates, rules, references)

Rule 1: every error of one run, each with its place; never an exception for what a user wrote.
Rule 2: all of it is pure but ``source`` and ``git`` (they read) and ``specs`` (it remembers between scans).
Rule 3: a bad file hurts nobody: what it declared before stays in force, and ``Loaded.complete`` is False, so that
nothing is pruned.
Rule 4: the fields are declared in the kinds; schemas, explanations and documentation are generated from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from cell_reconciler.load.specs import Specs
from cell_reconciler.model.document import Loaded


def load_files(paths: Sequence[str], host: str | None) -> Loaded:
    """One scan of files, directories and ``-`` (standard input). Never raises on user errors."""
    return Specs(paths, host).scan()


def load_git(revision: str, paths: Sequence[str], host: str | None) -> Loaded:
    """The same of a git revision. Raises UsageError for a revision that git does not know."""
    from cell_reconciler.load.git import contents

    return Specs(paths, host, fixed=contents(revision, paths)).scan()


__all__ = ["Specs", "load_files", "load_git"]
