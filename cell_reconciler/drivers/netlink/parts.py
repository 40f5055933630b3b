"""Imports some modules of a package without all the others that the package itself would import.

pyroute2's ``__init__`` loads NDB, conntrack, nftables and asyncio: 0.15 s on a fast machine, where three modules are
needed. ``cellctl diff`` is started often, in CI and in hooks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def only_parts_of(package: str) -> Iterator[None]:
    """Within, ``package.module`` is imported as usual, but ``package/__init__`` is not run.

    Afterwards the package is unknown again, so that whoever imports it gets the real one (with the same modules).
    Raises ModuleNotFoundError when it is not installed.
    """
    if package in sys.modules:
        yield
        return
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    bare = ModuleType(package)
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules[package] = bare
    try:
        yield
    finally:
        del sys.modules[package]
