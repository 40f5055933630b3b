"""Quantities: what people write, what is refused, and that canonical spelling reads back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Bytes, Cpus, CpuSet, Duration, Mac


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("512MiB", 2**29), ("8Gi", 2**33), ("8GiB", 2**33), ("3KiB", 3072)]
)
def test_sizes_are_binary(text: str, size: int) -> None:
    assert Bytes.parse(text) == size


@pytest.mark.parametrize(
    "text", ["8GB", "8G", "8", "8 GiB", "-1GiB", "1.5GiB", "", "GiB", "08GiB", "8gib", "8GiB\n", "٨GiB"]
)
def test_ambiguous_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        Bytes.parse(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_sizes_read_back(size: int) -> None:
    assert Bytes.parse(Bytes(size).to_text()) == size


@given(st.integers(min_value=0, max_value=10**9))
def test_durations_read_back(millis: int) -> None:
    assert Duration.parse(Duration(millis / 1000).to_text()) == pytest.approx(millis / 1000)


@pytest.mark.parametrize("text", ["60", "1.5s", "1 s", "s", "1w", "-1s"])
def test_durations_have_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        Duration.parse(text)


def test_mac_is_lower_case_and_knows_multicast() -> None:
    assert Mac.parse("52:54:00:AA:BB:CC") == "52:54:00:aa:bb:cc"
    assert Mac.parse("52:54:00:aa:bb:cc").unicast
    assert not Mac.parse("53:54:00:aa:bb:cc").unicast


@pytest.mark.parametrize(
    "text", ["52:54:00:aa:bb", "52-54-00-aa-bb-cc", "52:54:00:aa:bb:cg", "525400aabbcc", "52:54:00:aa:bb:cc\n"]
)
def test_bad_macs_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a MAC"):
        Mac.parse(text)


@given(st.booleans(), st.booleans(), st.from_regex(r"[A-Za-z0-9_.:-]{1,63}", fullmatch=True))
def test_marks_read_back_and_fit_an_alias(adopted: bool, derived: bool, name: str) -> None:
    mark = Mark(Key("VirtualMachine", name), "0123456789abcdef", adopted=adopted, derived=derived)
    assert Mark.parse(mark.to_text()) == mark
    assert len(mark.to_text().encode()) <= 255


@given(st.text())
def test_what_people_write_is_no_mark(text: str) -> None:
    mark = Mark.parse(text)
    assert mark is None or mark.to_text() == text


@pytest.mark.parametrize(
    ("given", "thousandths", "text"),
    [("2", 2000, "2"), (2, 2000, "2"), (2.5, 2500, "2500m"), ("2.50", 2500, "2500m"), ("500m", 500, "500m")],
)
def test_cpus_are_thousandths(given: str | float, thousandths: int, text: str) -> None:
    assert Cpus.parse(given) == thousandths
    assert Cpus.parse(given).to_text() == text


@given(st.integers(min_value=0, max_value=10**7))
def test_cpus_read_back(thousandths: int) -> None:
    assert Cpus.parse(Cpus(thousandths).to_text()) == thousandths


@pytest.mark.parametrize("given", ["", "-1", "1.2345", "2.5m", "1 m", "1k", "01", "1\n", -1, 1e-7, float("nan"), True])
def test_what_is_no_number_of_cpus_is_refused(given: str | float) -> None:
    with pytest.raises(ValueError, match="not a number of CPUs"):
        Cpus.parse(given)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [("0-3,^2", "0-1,3"), ("3,1,2", "1-3"), ("^2,0-3", "0-3"), ("7", "7"), (7, "7"), ("0-1,1-2,00004", "0-2,4")],
)
def test_equal_sets_of_cpus_are_equal(given: str | int, canonical: str) -> None:
    assert CpuSet.parse(given) == canonical


@given(st.sets(st.integers(min_value=0, max_value=300), min_size=1))
def test_sets_of_cpus_read_back(numbers: set[int]) -> None:
    assert CpuSet.of(numbers).numbers == numbers
    assert CpuSet.parse(CpuSet.of(numbers).to_text()) == CpuSet.of(numbers)


@pytest.mark.parametrize("given", ["", "a", "3-1", "0,^0", "^1-2", "0-", "0,,1", "0 ,1", "16384", "1\n", -1])
def test_what_is_no_set_of_cpus_is_refused(given: str | int) -> None:
    with pytest.raises(ValueError, match=r"set of CPUs|no range|names no CPU"):
        CpuSet.parse(given)


@pytest.mark.parametrize(
    ("kind", "most", "more"),
    [(Bytes, "8191PiB", "8192PiB"), (Duration, "10000d", "240001h"), (Cpus, "16384", "16384001m")],
)
def test_there_may_be_only_so_much(kind: type[Bytes | Duration | Cpus], most: str, more: str) -> None:
    assert kind.parse(most).to_text() == most
    for text in (more, "9" * 400 + more[-1], "9" * 5000 + more.lstrip("0123456789")):
        with pytest.raises(ValueError, match=f"is more than {most}"):
            kind.parse(text)


def test_the_longest_duration_fits_whoever_takes_one() -> None:
    longest = Duration.parse("10000d")
    assert datetime.now(UTC) + timedelta(seconds=longest) < datetime.fromtimestamp(2**32, UTC), "a time of Ceph"
    assert longest < threading.TIMEOUT_MAX
