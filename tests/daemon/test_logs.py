"""Logs: one line an event, a reconcile id in each, in both formats; the standard library's lines too."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cell_reconciler.daemon import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield io.StringIO()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_carry_the_reconcile_id(stream: io.StringIO) -> None:
    logs.setup("json", stream=stream)
    with structlog.contextvars.bound_contextvars(reconcile="0a1b2c3d"):
        logs.logger().info("done: create bridge br0", key="Bridge/br0", seconds=0.1)
        logging.getLogger("elsewhere").warning("from a %s", "library")
    logs.logger().info("outside")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["reconcile"] for line in lines] == ["0a1b2c3d", "0a1b2c3d", "-"]
    assert lines[0]["event"] == "done: create bridge br0"
    assert lines[0]["key"] == "Bridge/br0"
    assert lines[1]["event"] == "from a library"
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert [line["level"] for line in lines] == ["info", "warning", "info"]


def test_text_is_plain_without_a_terminal(stream: io.StringIO) -> None:
    logs.setup("text", stream=stream)
    logs.logger().error("a.yaml:3:5: error [x] message", rule="x")
    line = stream.getvalue()
    assert "a.yaml:3:5: error [x] message" in line
    assert "\x1b" not in line
    assert line.count("\n") == 1


def test_level_and_traceback(stream: io.StringIO) -> None:
    logs.setup("json", logging.WARNING, stream)
    logs.logger().info("quiet")
    try:
        raise ValueError("why")
    except ValueError:
        logs.logger().error("loud", exc_info=True)
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: why" in json.loads(line)["exception"]


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="text, json"):
        logs.setup("xml")
