"""The logs are one line of JSON an event, ours and the libraries', without customers' data."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from benefits import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def out() -> io.StringIO:
    """Give a stream that is no terminal."""
    return io.StringIO()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def events(out: io.StringIO) -> list[dict[str, Any]]:
    """Read what was logged."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_in_utc(out: io.StringIO) -> None:
    """Name, level, instant and what was bound to it."""
    logs.configure(stream=out)
    structlog.contextvars.bind_contextvars(request="r1")
    structlog.get_logger().info("claimed", lots=3, note="会员\nline")
    [event] = events(out)
    at = datetime.fromisoformat(event.pop("timestamp"))
    assert at.tzinfo == UTC
    assert event == {
        "event": "claimed",
        "level": "info",
        "lots": 3,
        "note": "会员\nline",
        "request": "r1",
    }


def test_debug_is_not_logged(out: io.StringIO) -> None:
    """From INFO on."""
    logs.configure(stream=out)
    structlog.get_logger().debug("detail")
    assert out.getvalue() == ""


@pytest.mark.parametrize("name", ["uvicorn.error", "aiohttp.server", "asyncio"])
def test_libraries_join_from_warning_on(out: io.StringIO, name: str) -> None:
    """A library's warning has our shape, its chatter is dropped."""
    logs.configure(fmt="json", stream=out)
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("slow: %s s", 3)
    [event] = events(out)
    assert (event["logger"], event["level"], event["event"]) == (name, "warning", "slow: 3 s")
    assert datetime.fromisoformat(event["timestamp"]).tzinfo == UTC


@pytest.mark.parametrize("name", ["uvicorn.access", "aiohttp.access"])
def test_access_logs_are_silent(out: io.StringIO, name: str) -> None:
    """URLs are not logged, at no level."""
    logs.configure(stream=out)
    logging.getLogger(name).critical("GET /members/C0001")
    assert out.getvalue() == ""


class DatabaseError(Exception):
    """An error in the words of a database driver."""


def insert_twice(reference: str) -> None:
    """Fail as a database does."""
    told = f"duplicate key\nDETAIL:  Key (reference)=({reference}) already exists.\n"
    raise DatabaseError(f"{told}[SQL: INSERT]\n[parameters: ('{reference}',)]")


@pytest.mark.parametrize("fmt", ["json", "console"])
@pytest.mark.parametrize("logger", ["ours", "theirs"])
def test_an_exception_shows_where_but_no_values(out: io.StringIO, fmt: Any, logger: str) -> None:
    """The traceback stays, the row's values and local variables do not."""
    logs.configure(fmt=fmt, stream=out)
    secret = "C" + "0001"
    try:
        insert_twice(secret)
    except DatabaseError:
        if logger == "ours":
            structlog.get_logger().exception("failed")
        else:
            logging.getLogger("theirs").exception("failed")
    written = out.getvalue()
    assert "DatabaseError: duplicate key" in written
    assert "test_logs.py" in written
    assert "[SQL: INSERT]" in written
    assert secret not in written


def test_a_value_that_the_driver_refuses_is_not_repeated(out: io.StringIO) -> None:
    """The driver tells which argument it could not send, and which value; we keep the first."""
    logs.configure(fmt="json", stream=out)
    told = "invalid input for query argument $4: 'li.na@bank.example' (utf-8)"
    structlog.get_logger().error("request.failed", exc_info=DatabaseError(told))
    (event,) = events(out)
    assert "li.na" not in event["exception"]
    assert "invalid input for query argument" in event["exception"]


def test_a_terminal_gets_words_and_a_pipe_json(out: io.StringIO) -> None:
    """When the format is not said, the stream decides."""
    terminal = Terminal()
    logs.configure(stream=terminal)
    structlog.get_logger().info("claimed", lots=3)
    assert "claimed" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    logs.configure(stream=out)
    structlog.get_logger().info("claimed", lots=3)
    assert events(out)[0]["lots"] == 3


def test_configuring_again_does_not_double_lines(out: io.StringIO) -> None:
    """The last configuration is the only one."""
    logs.configure(stream=out)
    logs.configure(stream=out)
    logging.getLogger("library").error("once")
    structlog.get_logger().info("once")
    assert len(events(out)) == 2
