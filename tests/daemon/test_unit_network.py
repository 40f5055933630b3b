"""The unit that brings the network back at boot: understood by systemd, early enough, and strict."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cell_reconciler.cli import options
from cell_reconciler.cli.main import command_parser
from tests.daemon.test_unit import SYSTEMD, UNIT, settings, systemd_version

BOOT = SYSTEMD / "cell-network.service"


def ordered(name: str) -> set[str]:
    """All units that ``After=`` or ``Before=`` name."""
    return {unit for line in re.findall(rf"^{name}=(.*)$", BOOT.read_text(), flags=re.M) for unit in line.split()}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """As it would be installed, with a program that exists here."""
    systemd_version()
    unit = tmp_path / BOOT.name
    unit.write_text(BOOT.read_text().replace("/usr/local/bin/cellctl", sys.executable))
    return unit


def test_systemd_understands_every_line(installed: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(installed)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "cell-network" in line] == []
    assert done.returncode == 0, done.stderr


def test_it_is_as_strict_as_it_claims(installed: Path) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=30", str(installed)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_it_comes_before_what_needs_a_network() -> None:
    assert {"libvirtd.service", "network.target", "network-online.target", UNIT.name} <= ordered("Before")
    assert {"local-fs.target", "network-pre.target"} <= ordered("After")
    assert BOOT.name in settings(UNIT)["After"].split()
    found = settings(BOOT)
    assert (found["Type"], found["RemainAfterExit"], found["DefaultDependencies"]) == ("oneshot", "yes", "no")
    assert "ExecStop" not in found
    assert found["Restart"] == "on-abnormal", "killed halfway, it begins again"


def test_it_needs_no_other_service() -> None:
    assert not re.findall(r"^(?:Requires|Requisite|BindsTo|PartOf)=", BOOT.read_text(), flags=re.M)
    assert settings(BOOT)["Wants"] == "network.target"


def test_command_and_directory_are_those_of_the_program() -> None:
    words = settings(BOOT)["ExecStart"].split()
    parser, _ = command_parser(words[1])
    assert parser.parse_args(words[2:]).wait == 30
    assert f"/var/lib/{settings(BOOT)['StateDirectory']}" == options.STATE_DIR
    assert shutil.which("systemd-analyze") is None or float(settings(BOOT)["TimeoutStartSec"]) > 30


def test_every_relaxation_has_a_reason() -> None:
    relaxed = re.findall(r"^# Relaxed \(not set\): (.+)$", BOOT.read_text(), flags=re.M)
    for name in ("ProtectKernelTunables", "PrivateNetwork", "MemoryDenyWriteExecute"):
        assert name not in settings(BOOT)
        assert any(name in text for text in relaxed)
