"""The commands on a real storage pool in a directory, beside libvirt's own test hypervisor (or one that is away)."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from cell_reconciler.cli import apply, exits
from cell_reconciler.cli.main import main
from cell_reconciler.errors import Refused
from tests.cli.plans import EVERYTHING, NOTHING

POOL = """\
apiVersion: cell/v1
kind: StoragePool
metadata: {{name: local}}
spec: {{directory: {{path: {path}}}}}
"""
VOLUME = """\
apiVersion: cell/v1
kind: Volume
metadata: {{name: {name}}}
spec: {{pool: local, size: {size}}}
"""
VM = """\
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: web-01}
spec: {memory: {guest: 1GiB}}
"""


class Site:
    """A directory of specs, a pool, a state directory, and libvirt's built-in test driver."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.specs, self.pool = root, root / "specs", root / "pool"
        self.specs.mkdir()
        self.write("pool.yaml", POOL.format(path=self.pool))
        self.write("volume.yaml", VOLUME.format(name="root-01", size="8MiB"))
        self.connect = "test:///default"
        self._capsys = capsys
        self.out = self.err = ""

    def write(self, name: str, text: str) -> None:
        (self.specs / name).write_text(text, encoding="utf-8")

    def without_libvirt(self) -> None:
        self.connect = f"qemu+unix:///system?socket={self.root}/none"

    def __call__(self, command: str, *argv: str, specs: bool = True) -> int:
        common = ["--state-dir", str(self.root / "state"), "--host", "cell-01"]
        common += ["--connect", self.connect]
        code = main([*common, command, *(["-f", str(self.specs)] if specs else []), *argv])
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, command: str, *argv: str, specs: bool = True) -> dict[str, object]:
        self(command, *argv, "--format", "json", specs=specs)
        answer = json.loads(self.out)
        assert answer["formatVersion"] == "1.0"
        return dict(answer)


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capsys)


def test_diff_apply_diff(site: Site) -> None:
    assert site("diff") == exits.OK
    assert "+ Volume/root-01" in site.out
    assert site("diff", "--exit-code", "-q") == exits.DIFFERENCES
    assert site.out == ""
    assert not site.pool.exists(), "diff must not write"
    assert not (site.root / "state").exists(), "diff must not write"
    assert site("apply") == exits.OK
    assert "2 done, 0 failed; 2 writing calls" in site.out
    assert site("diff", "--exit-code") == exits.OK
    assert "No differences: 2 in sync." in site.out
    assert site("apply") == exits.OK
    assert "0 done, 0 failed; 0 writing calls" in site.out


def test_apply_as_json_holds_plan_outcomes_and_calls(site: Site) -> None:
    answer = site.json("apply", "--wait")
    assert [o["result"] for o in answer["outcomes"]] == ["done", "done"]  # type: ignore[attr-defined, index]
    assert answer["summary"]["writingCalls"] == 2  # type: ignore[index]
    assert answer["unhealthy"] == []


def test_invalid_specs_hurt_nobody(site: Site) -> None:
    site.write("bad.yaml", VOLUME.format(name="bad", size="8MB"))
    assert site("diff") == exits.INVALID
    assert "bad.yaml:4:" in site.out
    assert "+ Volume/root-01" in site.out
    assert site("apply") == exits.INVALID
    assert "2 done" in site.out
    assert site("get", specs=False) == exits.OK
    assert "bad.yaml:4:" in site.out


def test_unreachable_is_not_absent(site: Site) -> None:
    site.write("vm.yaml", VM)
    site.without_libvirt()
    assert site("diff", "--exit-code") == exits.UNREACHABLE
    assert "? VirtualMachine/web-01  unknown: libvirt is unreachable" in site.out
    assert "+ VirtualMachine" not in site.out
    assert site("get", "--live") == exits.UNREACHABLE
    assert "SourceUnreachable" in site.out


def test_refused_and_the_rest_is_done(site: Site) -> None:
    assert site("apply") == exits.OK
    site.write("volume.yaml", VOLUME.format(name="root-01", size="4MiB"))
    site.write("other.yaml", VOLUME.format(name="root-02", size="4MiB"))
    assert site("diff") == exits.REFUSED
    assert site("apply") == exits.REFUSED
    assert "1 done" in site.out
    assert (site.pool / "root-02.raw").exists()
    assert (site.pool / "root-01.raw").stat().st_size == 8 * 2**20


def test_failed_step(site: Site) -> None:
    site.write("volume.yaml", VOLUME.format(name="root-01", size="4096PiB"))  # more than any file may hold
    assert site("apply") == exits.FAILED
    assert "1 done, 1 failed" in site.out
    assert "[2/2] " in site.err
    assert site("get", "--failed", specs=False) == exits.OK
    assert "StepFailed" in site.out


def test_saved_plan_is_applied_or_refused(site: Site) -> None:
    plan = str(site.root / "plan.json")
    assert site("plan", "--out", plan, "--exit-code") == exits.DIFFERENCES
    assert "Steps" in site.out
    site.write("more.yaml", VOLUME.format(name="root-02", size="8MiB"))
    assert site("apply", plan, specs=False) == exits.REFUSED
    assert "stale" in site.err
    assert not site.pool.exists()
    (site.specs / "more.yaml").unlink()
    assert site("apply", plan, specs=False) == exits.OK
    assert site("apply", plan, specs=False) == exits.REFUSED


def test_only(site: Site) -> None:
    assert site("diff", "--only", "pool/local") == exits.OK
    assert "Volume/root-01" not in site.out
    assert site("diff", "--only", "Volume/none") == exits.USAGE
    assert "is not declared" in site.err


def test_snapshot_gives_the_same_diff(site: Site) -> None:
    live = str(site.root / "live.json")
    site.json("diff")
    now = json.loads(site.out)
    assert site("observe", "-o", live) == exits.OK
    assert site("diff", "--live", live, "--format", "json") == exits.OK
    assert json.loads(site.out) == now


def test_observe_tells_what_did_not_answer(site: Site) -> None:
    site.without_libvirt()
    assert site("observe") == exits.UNREACHABLE
    assert json.loads(site.out)["live"]["gaps"][0]["source"] == "libvirt"
    assert site.err.startswith("libvirt did not answer: ")


def test_a_pool_that_the_snapshot_lacks_is_unknown(site: Site) -> None:
    live = str(site.root / "live.json")
    site("observe", "-o", live)
    site.write("pool2.yaml", POOL.format(path=site.root / "pool2").replace("local", "second"))
    assert site("diff", "--live", live) == exits.UNREACHABLE
    assert "? StoragePool/second  unknown" in site.out


@pytest.mark.parametrize("text", ["{", "[]", '{"live": {}}', '{"formatVersion": "2.0", "live": {"host": "cell-01"}}'])
def test_what_is_no_snapshot(site: Site, text: str) -> None:
    path = site.root / "live.json"
    path.write_text(text)
    assert site("diff", "--live", str(path)) == exits.USAGE
    assert str(path) in site.err


def test_snapshot_of_another_host(site: Site) -> None:
    path = site.root / "live.json"
    path.write_text('{"formatVersion": "1.7", "new": 1, "live": {"host": "cell-02"}}')
    assert site("diff", "--live", str(path)) == exits.USAGE
    assert "'cell-02'" in site.err


def test_base_compares_specs_with_specs(site: Site) -> None:
    git = ["git", "-C", str(site.root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for argv in (["init", "-q"], ["add", "specs"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *argv], check=True, timeout=30)
    assert site("diff", "--base", "HEAD", "--exit-code") == exits.OK
    site.write("volume.yaml", VOLUME.format(name="root-01", size="16MiB"))
    site.write("more.yaml", VOLUME.format(name="root-02", size="8MiB"))
    assert site("diff", "--base", "HEAD", "--exit-code") == exits.DIFFERENCES
    assert "8MiB → 16MiB" in site.out
    assert "+ Volume/root-02" in site.out
    assert not site.pool.exists()
    (site.specs / "volume.yaml").unlink()
    site.json("diff", "--base", "HEAD")
    verbs = {change["key"]: change["verb"] for change in json.loads(site.out)["changes"]}
    assert verbs == {"Volume/root-01": "delete", "Volume/root-02": "create"}
    assert site("diff", "--base", "nonsense") == exits.USAGE
    assert site("diff", "--base", "--output=/tmp/x") == exits.USAGE


def test_get(site: Site) -> None:
    assert site("get", specs=False) == exits.OK
    assert site.out == "No resources.\n"
    assert site("get", "--live") == exits.OK
    assert "OutOfSync" in site.out
    assert not (site.root / "state").exists(), "get --live must not write"
    site("apply")
    assert site("get", specs=False) == exits.OK
    header, *rows = site.out.splitlines()
    assert header.split() == ["KIND", "NAME", "READY", "REASON", "AGE", "MESSAGE"]
    assert [row.split()[:4] for row in rows] == [
        ["StoragePool", "local", "True", "InSync"],
        ["Volume", "root-01", "True", "InSync"],
    ]
    assert "as of" in site.err
    assert site("get", "vol", "-o", "wide", specs=False) == exits.OK
    assert "volume.yaml:1" in site.out
    assert site("get", "Volume/none", specs=False) == exits.FAILED
    assert site("get", "--failed", specs=False) == exits.OK
    assert site.out == "No resources.\n"
    answer = site.json("get", specs=False)
    assert [r["key"] for r in answer["resources"]] == ["StoragePool/local", "Volume/root-01"]  # type: ignore[attr-defined, index]


def test_suspend_and_resume(site: Site) -> None:
    site("apply")
    site.write("volume.yaml", VOLUME.format(name="root-01", size="16MiB"))
    assert site("suspend", "volume/root-01", "--reason", "INC-1 \x1b[31m", "--for", "2h", specs=False) == exits.OK
    assert site("get", "--suspended", specs=False) == exits.OK
    assert "INC-1 \\x1b[31m" in site.out
    assert "StoragePool" not in site.out
    assert site("apply") == exits.OK
    assert (site.pool / "root-01.raw").stat().st_size == 8 * 2**20
    assert site("diff", "--exit-code") == exits.DIFFERENCES
    assert "Suspended" in site.out
    assert site("resume", "volume/root-01", specs=False) == exits.OK
    assert site("apply") == exits.OK
    assert (site.pool / "root-01.raw").stat().st_size == 16 * 2**20
    assert site("resume", "volume/root-01", specs=False) == exits.OK
    assert "was not suspended" in site.out


def test_wait_tells_what_is_not_ready(site: Site) -> None:
    assert site("apply", "--wait=30s") == exits.OK
    site.write("volume.yaml", VOLUME.format(name="root-01", size="16MiB"))
    site("suspend", "Volume/root-01", "--reason", "INC-1", specs=False)
    assert site("apply", "--wait=1s") == exits.UNHEALTHY
    assert "! Volume/root-01 is not Ready: Suspended" in site.out


def test_an_interrupted_pass_is_told(site: Site) -> None:
    journal = site.root / "state" / "journal.jsonl"
    journal.parent.mkdir()
    journal.write_text('{"event": "begin", "step": 0, "text": "make directory /p"}\n')
    assert site("apply") == exits.OK
    assert "interrupted during: make directory /p" in site.err


def test_apply_says_what_it_did_though_it_cannot_be_written_down(site: Site) -> None:
    events = site.root / "state" / "events.jsonl"
    events.parent.mkdir()
    events.symlink_to("/dev/full")
    assert site("apply") == exits.FAILED
    assert "2 done, 0 failed; 2 writing calls" in site.out
    advice = f"make room on the file system that has it: df -h {events}"
    assert site.err == f"error: {events}: No space left on device\n  {advice}\n"
    events.unlink()
    assert site("apply") == exits.OK
    assert "0 done, 0 failed; 0 writing calls" in site.out


def test_describe(site: Site) -> None:
    assert site("describe", "volume/root-01") == exits.OK
    assert "size: 8MiB" in site.out
    site("apply")
    assert site("describe", "volume/root-01") == exits.OK
    for part in ("Spec", "Live", "Differences", "none: in sync", "Conditions", "Events", "StoragePool/local"):
        assert part in site.out
    answer = site.json("describe", "pool/local")
    assert answer["neededBy"] == ["Volume/root-01"]
    assert site("describe", "pool/local", "--offline", specs=False) == exits.OK
    assert "Conditions" in site.out
    assert site("describe", "Volume/none") == exits.FAILED


def test_describe_and_diff_show_what_a_guest_os_gives(site: Site) -> None:
    spec = "{guestOS: winxp, memory: {guest: 1GiB}, machine: {type: pc}}"
    text = f"apiVersion: cell/v1\nkind: VirtualMachine\nmetadata: {{name: xp}}\nspec: {spec}\n"
    (site.root / "specs" / "xp.yaml").write_text(text)
    for command in (("diff",), ("describe", "vm/xp")):
        site(*command)
        assert "of guestOS winxp: clock.offset localtime" in site.out
    assert site.json("describe", "vm/xp")["defaults"] == ["of guestOS winxp: clock.offset localtime"]
    assert site.json("describe", "pool/local")["defaults"] == []


def test_events_and_history(site: Site) -> None:
    site("apply")
    assert site("events", "--for", "Volume/root-01", specs=False) == exits.OK
    assert "StepDone" in site.out
    assert "StoragePool" not in site.out
    assert site("events", "--warnings", specs=False) == exits.OK
    assert site.out == ""
    assert site("history", "-v", specs=False) == exits.OK
    assert "2 done; 2 writing calls" in site.out
    answer = site.json("history", "Volume/root-01", specs=False)
    assert len(answer["history"]) == 1  # type: ignore[arg-type]
    assert site.json("events", "--limit", "1", specs=False)["events"]


def test_doctor(site: Site) -> None:
    site.without_libvirt()
    assert site("doctor") == exits.FAILED
    assert "libvirt is unreachable" in site.out
    checks = {c["name"]: c["result"] for c in site.json("doctor")["checks"]}  # type: ignore[attr-defined, index]
    assert checks["libvirt"] == "fail"
    assert checks["netlink"] == "ok"
    assert checks["state directory"] == "ok"


def test_apply_is_refused_while_another_holds_the_lock(site: Site) -> None:
    from cell_reconciler.converge.lock import host_lock

    with host_lock(site.root / "state", "cellctl run"):
        assert site("apply") == exits.REFUSED
        assert "cellctl run" in site.err
        assert site("diff") == exits.OK


@pytest.mark.parametrize(
    ("answer", "terminal", "yes", "refused"),
    [
        ("y\n", True, False, False),
        ("YES\n", True, False, False),
        ("n\n", True, False, True),
        ("", True, False, True),
        ("n\n", True, True, False),
        ("", False, False, False),
    ],
)
def test_asks_on_a_terminal_only(
    answer: str, terminal: bool, yes: bool, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    monkeypatch.setattr(sys, "stdin", Stream(answer))
    monkeypatch.setattr(sys, "stderr", asked := Stream())
    with pytest.raises(Refused) if refused else nullcontext():
        apply._confirm(argparse.Namespace(yes=yes), EVERYTHING)
    assert ("3 steps disturb or delete. Apply? [y/N]" in asked.getvalue()) == (terminal and not yes)
    apply._confirm(argparse.Namespace(yes=False), NOTHING)


def test_terminated_apply_says_what_is_true(site: Site) -> None:
    """SIGTERM in the middle: running steps end, no other begins, the status is honest, and the next apply goes on."""
    count = 400
    site.write("many.yaml", "---\n".join(VOLUME.format(name=f"v{i:03}", size="4KiB") for i in range(count)))
    common = [
        "--state-dir",
        str(site.root / "state"),
        "--host",
        "cell-01",
        "--connect",
        site.connect,
    ]
    command = [sys.executable, "-m", "cell_reconciler.cli", *common, "apply", "-q", "-f", str(site.specs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while len(list(site.pool.glob("*.raw"))) < 5 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.terminate()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == exits.TERMINATED, err
    assert "not begun" in out
    made = len(list(site.pool.glob("*.raw")))
    assert 5 <= made < count
    ready = [r for r in site.json("get", specs=False)["resources"] if r["conditions"][0]["status"] == "True"]  # type: ignore[attr-defined, index]
    assert len(ready) == made + 1  # and the pool
    assert site("apply", "-q") == exits.OK
    assert len(list(site.pool.glob("*.raw"))) == count + 1


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    from cell_reconciler.cli.converging import Progress
    from cell_reconciler.model.change import Outcome, Result

    done = Outcome(step=0, key=EVERYTHING.steps[0].key, op="x", result=Result.DONE)
    failed = Outcome(step=1, key=EVERYTHING.steps[1].key, op="x", result=Result.FAILED, error="no", advice="do it")
    for terminal, expected in ((True, "[1/9] set mtu of bridge br-VM\n[2/9] "), (False, "[2/9] ")):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda answer=terminal: answer)
        monkeypatch.setattr(sys, "stderr", stream)
        progress = Progress(argparse.Namespace(progress=True, quiet=False), 9)
        progress(done, EVERYTHING)
        progress(failed, EVERYTHING)
        progress.say("volume demo: 1 of 2 MiB (50 %)")
        far = "    volume demo: 1 of 2 MiB (50 %)\n" if terminal else ""
        assert stream.getvalue() == expected + "switch on STP: no\n    do it\n" + far
