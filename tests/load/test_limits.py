"""How much of a quantity there may be: whatever is written, it is refused at its place, and with everything else."""

from __future__ import annotations

import pytest

from cell_reconciler.load.documents import read

VM = """apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: web}
spec:
  cpu: {cores: 1, limit: %s}
  memory: {guest: %s}
  shutdownTimeout: %s
"""
MANY = "9" * 5000  # more digits than Python converts


def found(limit: str = "1", guest: str = "1GiB", timeout: str = "60s") -> list[str]:
    diagnostics = read((VM % (limit, guest, timeout)).encode(), "f.yaml", None).diagnostics
    assert all(len(d.message) < 150 for d in diagnostics)
    return [f"{d.position.line}:{d.position.column} {d.message}" for d in diagnostics]


@pytest.mark.parametrize("text", ["9" * 400 + "s", MANY + "ms", MANY + "d", "10001d", "864000001s"])
def test_a_duration_has_an_end(text: str) -> None:
    [one] = found(timeout=text)
    assert one.startswith("7:20 shutdownTimeout: '")
    assert one.endswith("is more than 10000d")


@pytest.mark.parametrize("text", [MANY + "GiB", MANY + "B", "8192PiB"])
def test_a_size_has_an_end(text: str) -> None:
    [one] = found(guest=text)
    assert one.startswith("6:19 guest: '")
    assert one.endswith("is more than 8191PiB")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MANY + "m", "is more than 16384 CPUs"),
        (f'"{MANY}"', "is more than 16384 CPUs"),
        ("16384001m", "is more than 16384 CPUs"),
        ("16385", "expected at most 16384, got 16385"),
        (MANY, "does not fit in 64 bits"),
        ("9" * 280 + ".0", "expected at most 16384, got 1e+280"),
        ("1.2345", "1.2345 is not a number of CPUs; write 2, 2.5 or 2500m"),
        ("0.0000001", "1e-07 is not a number of CPUs; write 2, 2.5 or 2500m"),
        ("1e999", "expected a number of CPUs such as 2.5 or 2500m"),
        (".nan", "expected a number of CPUs such as 2.5 or 2500m"),
    ],
)
def test_a_number_of_cpus_has_an_end_and_three_decimals(text: str, said: str) -> None:
    ones = found(limit=text)
    assert all(one.startswith("5:26 ") for one in ones)
    assert any(said in one for one in ones), ones


def test_everything_that_is_too_much_is_said_at_once() -> None:
    assert [one.partition(" ")[0] for one in found("20000000m", "9000PiB", "99999d")] == ["5:26", "6:19", "7:20"]


def test_what_is_just_enough_is_taken() -> None:
    assert found("16384", "8191PiB", "10000d") == []


@pytest.mark.parametrize("text", [MANY, "-" + MANY, "0x" + "f" * 5000])
def test_a_number_beyond_64_bits_is_not_called_another(text: str) -> None:
    data = (VM % ("1", "1GiB", "60s")).replace("cores: 1", f"cores: {text}").encode()
    said = [d.message for d in read(data, "f.yaml", None).diagnostics]
    assert any("does not fit in 64 bits" in one for one in said)
    assert not any("got 0" in one for one in said)
