"""The frame around the commands: help, errors, colours, signals, and what ``--help`` may cost."""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cell_reconciler.cli import docs, exits
from cell_reconciler.cli.completion import SHELLS
from cell_reconciler.cli.main import COMMANDS, command_parser, main
from cell_reconciler.cli.options import use_color
from cell_reconciler.errors import UsageError

HEAVY = ("jsonschema", "yaml", "libvirt", "pyroute2", "lxml", "structlog", "rbd", "rados", "watchdog", "msgspec")


def cellctl(*argv: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cell_reconciler.cli", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: cellctl {name}")
    assert "exit codes:" in text
    assert "--host" in text


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("run", "lab")])
def test_every_command_has_examples_that_parse(name: str) -> None:
    """Each example line of a command is understood by its own parser (options and positionals exist)."""
    import shlex

    parser, module = command_parser(name)
    examples = [line.strip() for line in module.EXAMPLES.strip().splitlines() if line.strip().startswith("cellctl")]
    assert examples
    for line in examples:
        words = shlex.split(line.split("   ")[0].split(" > ")[0].split(" | ")[0].split(" && ")[0])
        if words[1] == name:
            parser.parse_args(words[2:], argparse.Namespace())


def test_help_lists_the_commands_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert "exit codes:" in text


def test_help_word_and_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "diff"]) == 0
    assert capsys.readouterr().out.startswith("usage: cellctl diff")
    assert main([]) == exits.USAGE
    assert "commands:" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from cell_reconciler.cli.main import main
assert main(["--help"]) == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", [n for n in COMMANDS if n != "lab"])
def test_help_of_a_command_loads_no_driver(name: str) -> None:
    code = f"""
import sys
from cell_reconciler.cli.main import main
assert main([{name!r}, "--help"]) == 0
heavy = {[n for n in HEAVY if n not in ("msgspec", "yaml", "jsonschema")]!r}
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["dif"], "did you mean 'diff'?"),
        (["nonsense"], "'nonsense' is not a command"),
        (["diff", "--fromat", "json"], "did you mean '--format'?"),
        (["diff", "--format", "yaml"], "invalid choice: 'yaml'"),
        (["--hots", "x", "diff"], "did you mean '--host'?"),
        (["suspend", "vm/a"], "--reason"),
        (["suspend", "a", "--reason", "x"], "is not KIND/NAME"),
        (["suspend", "vmm/a", "--reason", "x"], "is not a kind"),
        (["suspend", "Volume/a", "--reason", "x", "--for", "2 hours"], "is not a duration"),
        (["-f", "x", "events"], "events does not read specs"),
        (["apply", "plan.json", "--prune"], "belong to the saved plan"),
        (["apply", "/nonexistent/plan.json"], "No such file"),
        (["diff", "--live", "/nonexistent", "-f", "/tmp"], "No such file"),
        (["diff", "--live", "a", "--base", "b"], "not allowed with"),
        (["diff", "--exit"], "unrecognized"),
    ],
)
def test_usage_errors(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == exits.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_an_advice_follows_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    main(["dif"])
    assert capsys.readouterr().err.splitlines()[1] == "  see 'cellctl --help'"


def test_global_options_before_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state-dir", str(tmp_path), "events", "--format", "json"]) == 0
    before = capsys.readouterr().out
    assert main(["events", "--format", "json", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "flag", "terminal", "expected"),
    [
        ({}, "auto", True, True),
        ({}, "auto", False, False),
        ({}, "always", False, True),
        ({}, "never", True, False),
        ({"NO_COLOR": "1"}, "always", True, False),
        ({"NO_COLOR": ""}, "auto", True, True),
        ({"FORCE_COLOR": "1"}, "never", False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, "always", True, False),
        ({"TERM": "dumb"}, "auto", True, False),
    ],
)
def test_colour(
    environment: dict[str, str], flag: str, terminal: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if terminal else io.StringIO()
    assert use_color(argparse.Namespace(color=flag), stream) is expected


def test_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from cell_reconciler.cli import events

    def breaks(args: argparse.Namespace) -> int:
        raise ValueError("two\nlines \x1b[31m")

    monkeypatch.setattr(events, "run", breaks)
    assert main(["events"]) == exits.FAILED
    err = capsys.readouterr().err
    assert err.splitlines()[0] == "error: internal error: ValueError: two lines \\x1b[31m"
    assert "Traceback" not in err
    assert main(["events", "-v"]) == exits.FAILED
    assert "Traceback" in capsys.readouterr().err


def test_a_state_directory_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    argv = ["--state-dir", str(tmp_path / "file" / "state"), "suspend", "Volume/a", "--reason", "x"]
    assert main(argv) == exits.FAILED
    err = capsys.readouterr().err
    assert str(tmp_path) in err
    assert "internal error" not in err


def test_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cell_reconciler.cli", "schema"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert done.returncode == exits.BROKEN_PIPE
    assert done.stderr == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_watch(number: int, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cell_reconciler.cli", "--state-dir", str(tmp_path), "events", "-w"]
    main(["--state-dir", str(tmp_path), "suspend", "Volume/a", "--reason", "x"])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        _until_asleep(process.pid)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert b"Traceback" not in err


def _until_asleep(pid: int) -> None:
    """Until the process waits in its loop: it sleeps and has loaded the store."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if "nanosleep" in Path(f"/proc/{pid}/wchan").read_text() or _sleeps(pid):
            return
        time.sleep(0.05)


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == "230"  # clock_nanosleep on x86_64


def test_unknown_command_is_told_to_python_callers() -> None:
    with pytest.raises(UsageError):
        command_parser("nonsense")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from cell_reconciler import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cellctl {__version__}\n"


def test_command_reference_is_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
    assert page.read_text(encoding="utf-8") == docs.page(), "run: python -m cell_reconciler.cli.docs --write"


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)


def test_bash_completion_parses_and_completes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "cellctl.bash"
    script.write_text(capsys.readouterr().out)
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=30)
    assert "doctor" in _complete(script, "cellctl", "do")
    assert "--format" in _complete(script, "cellctl", "diff", "--fo")
    assert "VirtualMachine/" in _complete(script, "cellctl", "describe", "Virt")
    assert "markdown" in _complete(script, "cellctl", "diff", "--format", "mark")


def _complete(script: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    ask = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; '
        'f=$(complete -p cellctl | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$f" cellctl "${@: -1}"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", ask, "bash", str(script), *words], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.split()
