"""What a change of one field leaves alone beside it, in XML that others wrote."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.kinds.virtual_machine.codec import consoles, io_threads
from cell_reconciler.kinds.virtual_machine.devices import Tunes
from cell_reconciler.kinds.virtual_machine.spec.disk import Iotune
from cell_reconciler.kinds.virtual_machine.tree import Context

TWO_CARDS = (
    "<d><devices><video><model type='qxl' heads='1'/><address slot='1'/></video>"
    "<video><model type='qxl' vram='9'/></video></devices></d>"
)
THREADS = "<d><iothreads>3</iothreads><iothreadids><iothread id='9'/><iothread id='2'/></iothreadids></d>"
TUNED = "<d><iotune><total_iops_sec>5</total_iops_sec><group_name>g</group_name></iotune></d>"


@pytest.mark.parametrize(
    ("codec", "before", "value", "after"),
    [
        (
            consoles.Video(),
            TWO_CARDS,
            "vga",
            TWO_CARDS.replace("<model type='qxl' heads='1'/><address slot='1'/>", "<model type='vga'/>"),
        ),
        (consoles.Video(), TWO_CARDS, "none", "<d><devices/></d>"),
        (io_threads.IoThreads(), THREADS, 4, THREADS.replace(">3<", ">4<")),
        (io_threads.IoThreads(), THREADS, 1, THREADS.replace(">3<", ">1<").replace("<iothread id='9'/>", "")),
        (io_threads.IoThreads(), THREADS, 0, "<d/>"),
        (Tunes(), TUNED, Iotune(), TUNED.replace("<total_iops_sec>5</total_iops_sec>", "")),
        (Tunes(), TUNED, None, "<d/>"),
    ],
)
def test_beside_the_field_all_stays(codec: Any, before: str, value: Any, after: str) -> None:
    root = xml.parse(before)
    codec.write(root, value, None, Context())
    assert xml.text(root) == xml.text(xml.parse(after))


@pytest.mark.parametrize(
    ("text", "count", "found"),
    [
        ("<d/>", None, set()),
        ("<d><iothreads>2</iothreads></d>", None, {1, 2}),
        (THREADS, None, {1, 2, 9}),
        (THREADS, 4, {1, 2, 3, 9}),
        (THREADS, 1, {2}),
        (THREADS, 0, set()),
        ("<d><iothreadids><iothread id='4'/></iothreadids></d>", None, {4}),
    ],
)
def test_io_threads_have_the_numbers_that_libvirt_gives_them(text: str, count: int | None, found: set[int]) -> None:
    assert io_threads.numbers(xml.parse(text), count) == found
