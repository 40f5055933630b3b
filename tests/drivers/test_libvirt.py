"""The libvirt door on libvirt's in-process test driver: facts, counting, errors, deadlines, reconnecting, events.

What the test driver cannot do (devices, VALIDATE of qemu, secrets, a daemon that dies) is tested live.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt", reason="needs libvirt's Python binding")

from cell_reconciler.drivers.doors import Writes  # noqa: E402 - after the skip
from cell_reconciler.drivers.libvirt import LibvirtDoor, failures, line, pulse  # noqa: E402
from cell_reconciler.drivers.libvirt.events import Subscription, Trouble  # noqa: E402
from cell_reconciler.drivers.libvirt.line import Line  # noqa: E402
from cell_reconciler.errors import CellError, Refused, StepFailed, Transient, Unreachable  # noqa: E402

URI = "test:///default"  # a hypervisor in this process, with one running domain named "test"


@pytest.fixture
def door() -> Iterator[LibvirtDoor]:
    made = LibvirtDoor(URI, Writes())
    yield made
    if (domain := made.domain("test")) and domain.state != "running":
        made.start("test")
    made.close()


def test_observes_domains_in_libvirts_words(door: LibvirtDoor) -> None:
    seen = door.observe()
    domain = seen["domains"]["test"]
    assert (domain.state, domain.autostart, domain.managed_save) == ("running", False, False)
    assert domain.active.startswith("<domain type='test' id=")
    assert " id=" not in domain.inactive.splitlines()[0]
    assert seen["secrets"] == {}
    assert seen["nwfilters"] == (), "a hypervisor without a driver for them has none"
    assert door.capabilities()["libvirtVersion"] >= 9_000_000
    assert door.observe({"test"})["domains"] == {"test": domain} == {"test": door.domain("test")}
    assert door.observe({"nobody"})["domains"] == {}
    assert door.domain("nobody") is None
    assert door.count.total == 0


def test_a_domain_that_is_off_says_why(door: LibvirtDoor) -> None:
    door.destroy("test")
    domain = door.domain("test")
    assert domain is not None
    assert (domain.state, domain.reason, domain.active) == ("shutoff", "destroyed", None)
    assert door.observe()["domains"]["test"] == domain


def test_writing_calls_are_counted_and_what_is_done_is_not_done_again(door: LibvirtDoor) -> None:
    door.start("test")
    assert door.count.calls == {}
    door.destroy("test")
    door.destroy("test")
    door.shutdown("test", "acpi")
    door.destroy("nobody")
    door.undefine("nobody")
    assert door.count.calls == {"libvirt.destroy": 1}
    door.start("test")
    assert door.count.calls == {"libvirt.destroy": 1, "libvirt.create": 1}


def test_refusals_carry_libvirts_text(door: LibvirtDoor) -> None:
    with pytest.raises(StepFailed, match="failed to validate against schema"):
        door.define("<domain/>")
    with pytest.raises(StepFailed, match="start domain nobody: there is no such domain"):
        door.start("nobody")


def test_no_libvirt_is_unreachable_with_advice() -> None:
    door = LibvirtDoor("qemu+unix:///system?socket=/nonexistent/libvirt-sock", Writes())
    with pytest.raises(Unreachable, match=r"libvirt is unreachable: .*/nonexistent/libvirt-sock") as error:
        door.observe()
    assert "libvirtd" in error.value.advice
    with pytest.raises(Unreachable):
        door.events(lambda _: None, lambda: None)


def test_where_nothing_listens_the_binding_is_not_even_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(line, "_SOCKETS", (str(tmp_path / "libvirt-sock"),))
    monkeypatch.setattr("cell_reconciler.drivers.libvirt.loop.ensure", pytest.fail)
    with pytest.raises(Unreachable, match=r"there is no .*libvirt-sock") as error:
        LibvirtDoor("qemu:///system", Writes()).observe()
    assert "libvirtd" in error.value.advice


@pytest.mark.parametrize(
    ("code", "domain", "kind"),
    [
        (failures.OPERATION_TIMEOUT, 10, Transient),  # held by a job
        (failures.AGENT_UNRESPONSIVE, 10, Transient),
        (failures.SYSTEM_ERROR, 7, Unreachable),  # of the RPC layer: end of file
        (failures.SYSTEM_ERROR, 10, StepFailed),  # of the QEMU driver: a file of the domain
        (failures.INTERNAL_ERROR, 7, Unreachable),
        (failures.INTERNAL_ERROR, 10, StepFailed),
        (failures.ACCESS_DENIED, 10, Unreachable),
        (failures.NO_SUPPORT, 10, Refused),
    ],
)
def test_each_error_says_whether_trying_again_helps(code: int, domain: int, kind: type[CellError]) -> None:
    error = libvirt.libvirtError("x")
    error.err = (code, domain, "the text of libvirt", 2, "", "", "", -1, -1)
    made = failures.translate(error, "start domain web")
    assert type(made) is kind
    assert "the text of libvirt" in str(made)


def test_a_call_that_hangs_is_given_up_in_time_and_the_next_one_has_another_connection() -> None:
    line, release, seen = Line(URI, "test"), threading.Event(), []

    def hang(connection: Any) -> None:
        seen.append(connection)
        release.wait(30)

    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"no answer within 0.2 s to: ask a hung guest"):
        line.call("ask a hung guest", hang, 0.2, repeat=True)
    assert time.monotonic() - begin < 5  # and it was not repeated
    assert line.call("read", lambda c: c is not seen[0] and c.isAlive(), 10)
    release.set()


def test_too_many_hanging_calls_stop_further_ones_until_they_return() -> None:
    line, release = Line(URI, "test"), threading.Event()
    for _ in range(16):
        with pytest.raises(Unreachable, match="no answer"):
            line.call("hang", lambda _: release.wait(30), 0.01)
    with pytest.raises(Unreachable, match="16 calls hang"):
        line.call("read", lambda _: 1, 10)
    release.set()
    for _ in range(100):
        if line.hanging == 0:
            break
        time.sleep(0.05)
    assert line.call("read", lambda _: 1, 10) == 1


def test_no_more_calls_in_flight_than_the_line_has() -> None:
    line, lock, counts = Line(URI, "test", in_flight=2), threading.Lock(), [0, 0]

    def work(_: Any) -> None:
        with lock:
            counts[0] += 1
            counts[1] = max(counts)
        time.sleep(0.02)
        with lock:
            counts[0] -= 1

    threads = [threading.Thread(target=line.call, args=("work", work, 30)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [0, 2]


def test_a_connection_that_broke_is_opened_again(door: LibvirtDoor) -> None:
    before = door.reads.call("read", lambda c: c, 10)
    before.close()
    assert door.domain("test") is not None
    assert door.reads.call("read", lambda c: c, 10) is not before


def test_events_name_the_domain_until_the_door_is_closed(door: LibvirtDoor) -> None:
    names: list[str] = []
    arrived = threading.Event()

    def note(name: str) -> None:
        names.append(name)
        arrived.set()

    door.events(note, lambda: None)
    # The test driver tells only the connection that acts, unlike a daemon: act on the subscription's own.
    handle = door._events[0]._connection.lookupByName("test")
    handle.suspend()
    assert arrived.wait(10)
    assert set(names) == {"test"}
    handle.resume()
    door.close()
    assert door._events == []


def test_waiting_ends_when_it_is_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_LONG", 0.05)
    one, release, asked = Line(URI, "test"), threading.Event(), []

    def vain() -> CellError | None:
        asked.append(1)
        return Transient("it hangs") if len(asked) == 2 else None

    begin = time.monotonic()
    with pytest.raises(Transient, match="it hangs"):
        one.call("write", lambda _: release.wait(30), 30, vain=vain)
    assert time.monotonic() - begin < 5
    assert (len(asked), one.hanging) == (2, 1)
    release.set()


def test_a_guest_that_does_not_answer_is_told_of_and_not_written_to(
    door: LibvirtDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    door.pulse.changed = heard.append
    door.pulse.round()
    assert (door.pulse.silent("test"), heard) == ("", [])
    with monkeypatch.context() as patch:
        patch.setattr(pulse, "_since", lambda _: "2026-01-02T03:04:05+00:00")
        door.pulse.round()
        door.pulse.round()
        assert heard == ["test"]
        assert door.observe()["domains"]["test"].silent == "2026-01-02T03:04:05+00:00"
        with pytest.raises(Transient, match="set the description of domain test: its QEMU does not answer") as error:
            door.set_description("test", "new")
        assert "virsh destroy" in error.value.advice
        assert door.count.total == 0
        door.destroy("test")  # which is what one does about it
        off = door.domain("test")
        assert off is not None
        assert (off.state, off.silent) == ("shutoff", "")
    door.pulse.round()
    assert (door.pulse.silent("test"), heard) == ("", ["test", "test"])


def test_not_more_guests_are_asked_than_may_hang(door: LibvirtDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(door.pulse, "ask", asked.append)
    door.pulse.round()
    door.pulse._line.hanging = pulse.HANGING
    door.pulse.round()
    assert asked == ["test"]


class Handle:
    def name(self) -> str:
        return "web"


@pytest.mark.parametrize(
    ("event", "details", "what", "text"),
    [
        ("_io_error", ("/a.raw", "disk0", 1, "full"), Trouble.IO_ERROR, "disk disk0 (full): the guest is paused"),
        ("_io_error", ("/a.raw", "", 2, ""), Trouble.IO_ERROR, "disk /a.raw: the guest was told"),
        ("_watchdog", (2,), Trouble.WATCHDOG, "ran out: the guest is reset"),
        ("_watchdog", (99,), Trouble.WATCHDOG, "ran out: action 99"),
    ],
)  # fmt: skip
def test_what_befalls_a_guest_is_told_in_words(event: str, details: tuple[Any, ...], what: Trouble, text: str) -> None:
    names: list[str] = []
    told: list[tuple[str, Trouble, str]] = []
    subscription = Subscription(URI, names.append, lambda: None, lambda *all_of_it: told.append(all_of_it))
    getattr(subscription, event)(None, Handle(), *details, None)
    assert names == ["web"]
    ((name, trouble, said),) = told
    assert (name, trouble) == ("web", what)
    assert said.endswith(text)
