"""The frame that tells a switch where an address is; that it does is shown by the scenarios on a booted kernel."""

from __future__ import annotations

from cell_reconciler.drivers.netlink import announce

MAC = "52:54:00:00:00:42"


def test_a_frame_is_to_all_from_the_address_and_no_protocol_answers_it() -> None:
    frame = announce.frame(MAC)
    own = bytes.fromhex("525400000042")
    assert (frame[:6], frame[6:12], frame[12:14]) == (b"\xff" * 6, own, b"\x80\x35")
    assert frame[14:42] == bytes.fromhex("0001080006040003") + own + bytes(4) + own + bytes(4)
    assert len(frame) == 60, "the smallest that Ethernet has"


def test_a_link_that_is_not_there_keeps_nobody_from_telling() -> None:
    with announce.ready({"nowhere0": [MAC]}) as tell:
        tell()
