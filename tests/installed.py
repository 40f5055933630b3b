"""The project as a user of CI has it: the built wheel in a fresh environment, with the core dependencies only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.process import run


class Installed:
    """A virtual environment; ``bin`` is its command directory, ``wheel`` what was installed into it."""

    def __init__(self, place: Path, wheel: Path) -> None:
        self.bin = place / "bin"
        self.wheel = wheel

    @property
    def env(self) -> dict[str, str]:
        """An environment in which ``cellctl`` and ``python`` are these, and no other site-packages are seen."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "GIT_"))}
        return kept | {"PATH": f"{self.bin}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built as a release is."""
    out = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(root)])
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel without extras in an environment that sees nothing else."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", str(place)])
    run([str(place / "bin/python"), "-m", "pip", "install", "--quiet", str(wheel)])
    return Installed(place, wheel)
