"""When to give up, and when to try again."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.daemon.fighting import REPAIRS, REST, WINDOW, Fighting, Writers, reason
from cell_reconciler.kinds.links.actions import SetLink
from cell_reconciler.model.change import Change, Step, Verb
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Manager, Route
from cell_reconciler.model.mark import RTPROT
from tests.livelinks import live

A, B = Key("Bridge", "a"), Key("Bridge", "b")


def stopped_at(times: list[float]) -> Fighting:
    fighting = Fighting()
    for at in times:
        fighting.repaired(A, "digest", at)
    return fighting


def test_the_third_repair_in_ten_minutes_is_one_too_many() -> None:
    fighting = Fighting()
    assert [fighting.repaired(A, "x", at) for at in (0.0, 100.0, 599.0)] == [False, False, True]
    assert fighting.stopped(A, "x", 600.0)
    assert not fighting.stopped(B, "x", 600.0)
    assert fighting.keys == {A}


def test_repairs_that_are_far_apart_do_not_count() -> None:
    fighting = Fighting()
    assert not any(fighting.repaired(A, "x", at) for at in (0.0, 301.0, 602.0, 1203.0))
    assert not fighting.stopped(A, "x", 1203.0)


def test_another_spec_ends_it() -> None:
    fighting = stopped_at([0.0, 1.0, 2.0])
    assert not fighting.stopped(A, "other", 3.0)
    assert not fighting.stopped(A, "digest", 3.0)


def test_repairs_of_another_spec_do_not_add_up() -> None:
    fighting = Fighting()
    assert not any(fighting.repaired(A, str(number), float(number)) for number in range(10))


def test_resume_and_an_hour_end_it() -> None:
    fighting = stopped_at([0.0, 1.0, 2.0])
    assert fighting.stopped(A, "digest", 2.0 + REST - 1)
    assert not fighting.stopped(A, "digest", 2.0 + REST)
    fighting = stopped_at([0.0, 1.0, 2.0])
    fighting.resume(A)
    assert not fighting.stopped(A, "digest", 3.0)
    assert not fighting.repaired(A, "digest", 4.0)


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=40).map(sorted))
def test_stops_exactly_when_some_window_holds_three(times: list[float]) -> None:
    fighting = Fighting()
    stopped = [fighting.repaired(A, "x", at) for at in times]
    crowded = [
        index for index, at in enumerate(times) if sum(at - other < WINDOW for other in times[: index + 1]) >= REPAIRS
    ]
    assert stopped.count(True) == (1 if crowded else 0)
    if crowded:
        assert stopped.index(True) == crowded[0]


class RouteAction(msgspec.Struct, frozen=True):
    """What actions on routes have in common."""

    route: Route


def repair(key: Key, *actions: object) -> Change:
    steps = tuple(Step(key=key, op="x", text="x", action=action) for action in actions)  # type: ignore[arg-type]
    return Change(key=key, verb=Verb.UPDATE, steps=steps)


def test_the_manager_of_a_link_is_named() -> None:
    seen = msgspec.structs.replace(
        live(), managers={"bond0.7": Manager(name="NetworkManager", detail="profile 'Office LAN', /etc/x")}
    )
    text = reason(repair(A, SetLink(name="bond0.7", up=True)), seen)
    assert "NetworkManager (profile 'Office LAN', /etc/x), which manages bond0.7, changes it again" in text
    assert reason(repair(A, SetLink(name="bond0", up=True)), seen).endswith("and another writer changes it again")


def test_who_sets_the_same_route_is_named_by_its_protocol() -> None:
    mine = Route(to="10.30.0.0/16", link="a", protocol=RTPROT)
    other = msgspec.structs.replace(mine, via="10.0.0.9", protocol=12)
    change = repair(A, RouteAction(mine))
    assert "protocol bird" in reason(change, msgspec.structs.replace(live(), routes=(mine, other)))
    elsewhere = msgspec.structs.replace(other, table=100)
    assert "another writer" in reason(change, msgspec.structs.replace(live(), routes=(mine, elsewhere)))


def test_the_process_that_changed_the_link_last_is_named() -> None:
    change = repair(A, SetLink(name="a", up=True))
    assert "the process dhclient (pid 7), which changed a last, changes" in reason(
        change, live(), {"a": "dhclient (pid 7)"}
    )
    assert "another writer" in reason(change, live(), {"b": "dhclient (pid 7)"})
    managed = msgspec.structs.replace(live(), managers={"a": Manager(name="NetworkManager")})
    assert "dhclient" not in reason(change, managed, {"a": "dhclient (pid 7)"}), "who manages it says more"


def test_writers_are_forgotten_after_a_while_and_are_never_too_many() -> None:
    writers = Writers()
    writers.heard("a", "old (pid 1)", 0.0)
    writers.heard("b", "x (pid 2)", 1.0)
    writers.heard("a", "new (pid 3)", 2.0)
    assert writers.recent(WINDOW + 1.5) == {"a": "new (pid 3)"}
    for number in range(2000):
        writers.heard(f"vnet{number}", "y (pid 4)", 3.0)
    assert len(writers.recent(3.0)) == 1000
    assert "vnet1999" in writers.recent(3.0)


def test_nothing_is_guessed_about_what_is_not_of_the_network() -> None:
    seen = msgspec.structs.replace(live(), managers={"eth0": Manager(name="NetworkManager")})
    assert "another writer" in reason(repair(Key("VirtualMachine", "eth0")), seen)
