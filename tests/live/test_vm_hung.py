"""One guest among many that hangs: the others are looked at and changed as fast as before, and it is told from them.

Real libvirtd and QEMU (TCG) in a lab. The guests have no kernel: they sit in the firmware, which finds no disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.libvirt import pulse
from cell_reconciler.errors import CellError, Transient
from cell_reconciler.kinds.contract import World
from cell_reconciler.lab import Lab, needs
from cell_reconciler.model.change import Change
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain, Live
from tests.kinds.vm.make import VM, carry_out, planned, vm, world
from tests.live.run_host import within

pytestmark = pytest.mark.live

COUNT = 50
BARE = {
    "memory": {"guest": "16MiB"},
    "guestAgent": False,
    "rng": False,
    "graphics": {"type": "none"},
    "serialConsole": False,
    "shutdownTimeout": "1s",
}


def name(number: int) -> str:
    return f"g{number:02}"


def doc(number: int, description: str = "first") -> Document:
    return vm(name(number), **{**BARE, "description": description})


class Site:
    """The guests, and a door to them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.doors = Doors(f"qemu+unix:///system?socket=/proc/{lab.info().pid}/root/run/libvirt/libvirt-sock")
        self.pulse = self.doors.libvirt.pulse

    def world(self, docs: list[Document]) -> World:
        return world(*docs, live=Live(host="h1", **self.doors.libvirt.observe()))

    def plans(self, docs: list[Document]) -> list[Change]:
        around = self.world(docs)
        return [planned(one, around) for one in docs]

    def converge(self, docs: list[Document]) -> float:
        """Observe, plan and carry out side by side, as the daemon does. Seconds."""
        begin = time.monotonic()
        with ThreadPoolExecutor(4) as workers:
            for change, done in zip(
                plans := self.plans(docs), workers.map(lambda c: carry_out(c, self.doors), plans), strict=True
            ):
                assert done == [step.op for step in change.steps]
                assert not change.refused
        return time.monotonic() - begin

    def domain(self, number: int) -> Domain:
        found = self.doors.libvirt.domain(name(number))
        assert found is not None
        return found

    def send(self, number: int, what: str) -> None:
        """A signal to the guest's QEMU."""
        pid = self.lab.exec(["cat", f"/run/libvirt/qemu/{name(number)}.pid"], check=True).stdout.strip()
        self.lab.exec(["kill", f"-{what}", str(pid)], check=True)

    def conditions(self, number: int, **changed: Any) -> dict[str, Any]:
        one = vm(name(number), **{**BARE, "description": "first", **changed})
        around = self.world([one])
        return {c.type: c for c in VM.conditions(one, VM.observe(one.key.name, around), around)}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    try:
        needs.require("namespace")
    except CellError as error:
        pytest.skip(error.message)
    with Lab.up(name="test-hung", kernel="namespace", bound=True) as lab:
        made = Site(lab)
        made.converge([doc(n) for n in range(COUNT)])
        yield made
        made.doors.close()


@pytest.fixture
def stopped(site: Site) -> Iterator[int]:
    """The number of a guest whose QEMU was stopped a moment ago."""
    number = 7
    site.send(number, "STOP")
    yield number
    site.send(number, "CONT")
    site.pulse.round()
    within(20, lambda: not site.domain(number).silent)


def silent(site: Site, number: int) -> Callable[[], bool]:
    return lambda: bool(site.domain(number).silent)


def test_one_that_hangs_delays_none_of_the_others(site: Site) -> None:
    others = [n for n in range(COUNT) if n != 7]
    site.converge([doc(n) for n in range(COUNT)])
    look = min(timed(lambda: site.plans([doc(n) for n in range(COUNT)])) for _ in range(3))
    change = site.converge([doc(n, "second") for n in others])
    site.send(7, "STOP")
    try:
        # At once, when nobody knows yet; while it is asked; and when it is known.
        fresh = timed(lambda: site.plans([doc(n) for n in range(COUNT)]))
        asking = threading.Thread(target=site.pulse.round)
        asking.start()
        during = site.converge([doc(n, "third") for n in others])
        asking.join()
        assert silent(site, 7)()
        known = timed(lambda: site.plans([doc(n) for n in range(COUNT)]))
        after = site.converge([doc(n, "fourth") for n in others])
        print(f"\n{COUNT} guests: look {look:.3f} s, hung {fresh:.3f} and {known:.3f} s")
        print(f"change of {len(others)}: {change:.3f} s, hung {during:.3f} and {after:.3f} s")
        assert max(fresh, known) < 2 * look + 0.2
        assert max(during, after) < 2 * change + 0.2
    finally:
        site.send(7, "CONT")
    within(20, lambda: not silent(site, 7)())
    site.converge([doc(n) for n in range(COUNT)])


def test_it_is_unresponsive_until_it_answers(site: Site) -> None:
    assert "Unresponsive" not in site.conditions(7)
    heard: list[str] = []
    site.pulse.changed = heard.append
    site.send(7, "STOP")
    try:
        site.pulse.round()
        found = site.conditions(7)["Unresponsive"]
        assert site.domain(7).silent[:10] in found.message
        assert "virsh destroy g07" in found.message
        assert heard == ["g07"]
        since = site.domain(7).silent
        begin = time.monotonic()
        site.pulse.round()  # it is not asked twice: each question would hold a worker of libvirtd for good
        assert time.monotonic() - begin < pulse.ASK
        assert (site.pulse._line.hanging, site.domain(7).silent) == (1, since)
        (change,) = site.plans([doc(7, "another")])
        assert (change.steps, [r.reason for r in change.refused]) == ((), ["Unresponsive"])
    finally:
        site.send(7, "CONT")
    within(20, lambda: heard == ["g07", "g07"])  # the question that hung came back: nobody had to ask again
    assert "Unresponsive" not in site.conditions(7)
    assert site.converge([doc(7, "another")]) > 0
    site.converge([doc(7)])


def test_a_write_that_hangs_gives_up_soon_and_the_next_one_at_once(site: Site) -> None:
    """Nobody asked it before: the write itself finds out, and others write meanwhile."""
    site.send(7, "STOP")
    holder = site.lab.popen(["virsh", "-q", "dommemstat", "g07"])  # a client of somebody else holds the domain's job
    try:
        time.sleep(1)
        results: list[Any] = []

        def write() -> None:
            begin = time.monotonic()
            with pytest.raises(Transient, match="its QEMU does not answer"):
                site.doors.libvirt.set_description("g07", "never")
            results.append(time.monotonic() - begin)

        threads = [threading.Thread(target=write) for _ in range(6)]
        for thread in threads:
            thread.start()
        begin = time.monotonic()
        site.doors.libvirt.set_description("g08", "meanwhile")
        meanwhile = time.monotonic() - begin
        for thread in threads:
            thread.join()
        assert silent(site, 7)()
        assert len(results) == 6
        assert max(results) < 15
        assert meanwhile < 10
        assert timed(write) < 1
        assert timed(lambda: site.doors.libvirt.set_description("g08", "first")) < 1
        print(f"\nwrites to the hung one gave up after {max(results):.1f} s; another took {meanwhile:.1f} s meanwhile")
    finally:
        site.send(7, "CONT")
    holder.wait(20)
    site.pulse.round()
    assert not silent(site, 7)()


def test_it_can_be_powered_off_and_started_again_while_a_question_hangs(site: Site) -> None:
    site.send(7, "STOP")
    site.pulse.round()
    assert silent(site, 7)()
    site.doors.libvirt.destroy("g07")
    assert (site.domain(7).state, site.domain(7).silent) == ("shutoff", "")
    site.converge([doc(7)])
    within(20, lambda: not silent(site, 7)())
    site.pulse.round()
    assert "Unresponsive" not in site.conditions(7)


def timed(function: Callable[[], Any]) -> float:
    begin = time.monotonic()
    function()
    return time.monotonic() - begin
