"""The systemd unit: understood by systemd, as strict as it says, and true to the program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cell_reconciler.cli import options

SYSTEMD = Path(__file__).resolve().parents[2] / "examples" / "systemd"
UNIT = SYSTEMD / "cell-reconciler.service"
OLD = SYSTEMD / "cell-reconciler.service.d" / "systemd-252.conf"


def settings(path: Path = UNIT) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), flags=re.M))


def systemd_version() -> int:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    return int(
        subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    )


def installed(where: Path) -> Path:
    """The unit as it would be installed, with a program that exists here."""
    unit = where / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/cellctl", sys.executable))
    return unit


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    version = systemd_version()
    unit = installed(tmp_path)
    if version < 253:
        drop_in = tmp_path / f"{UNIT.name}.d"
        drop_in.mkdir()
        shutil.copy(OLD, drop_in)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "cell-reconciler" in line]
    if version < 253:
        complaints = [line for line in complaints if "notify-reload" not in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


def test_it_is_as_strict_as_it_claims(tmp_path: Path) -> None:
    systemd_version()
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=35", str(installed(tmp_path))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_type_watchdog_and_restart() -> None:
    found = settings()
    assert found["Type"] == "notify-reload"
    assert found["NotifyAccess"] == "main"
    assert found["WatchdogSec"] == "60"
    assert found["Restart"] == "on-failure"
    assert settings(OLD)["ExecReload"].endswith("-HUP $MAINPID")


def test_directories_are_those_of_the_program() -> None:
    found = settings()
    assert f"/var/lib/{found['StateDirectory']}" == options.STATE_DIR
    assert options.SPECS_DIR.startswith(f"/etc/{found['ConfigurationDirectory']}/")


def test_a_guard_survives_the_death_of_the_daemon() -> None:
    """Promise 7: with control-group or mixed, systemd would kill the guard together with the daemon."""
    assert settings()["KillMode"] == "process"


def test_every_relaxation_has_a_reason() -> None:
    relaxed = re.findall(r"^# Relaxed( \(not set\))?: (.+)$", UNIT.read_text(), flags=re.M)
    assert len(relaxed) == 4
    for name in ("ProtectKernelTunables", "MemoryDenyWriteExecute", "PrivateNetwork"):
        assert name not in settings()
        assert any(name in text for _, text in relaxed)
