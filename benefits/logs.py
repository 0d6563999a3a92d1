"""The logs: one JSON object a line, or words in colour for a person.

Events are ours, structured and from INFO on; what libraries log through the standard library joins
from WARNING on, in the same shape. Nothing here knows a header, a body or a path; servers' access
logs are silent since they hold URLs; local variables never stand in tracebacks, nor the lines in
which a database error repeats the values of a row, nor an error's words that may be of a person.
"""

import json
import logging
import re
import sys
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from benefits.domain.orders import redacted

_VALUES = re.compile(
    r"^[ |]*(DETAIL: |\[parameters: ).*\n?|(?<=invalid input for query argument )\$\d+: .*",
    re.MULTILINE,
)
_MESSAGE = re.compile(r"^(?:[ |]*[\w.]+: |(?![ |]|Traceback )).*", re.MULTILINE)
_ACCESS_LOGS = ("uvicorn.access", "aiohttp.access")


def configure(
    *, fmt: Literal["json", "console"] | None = None, stream: TextIO | None = None
) -> None:
    """Send all logs to `stream` (stdout) as `fmt`: if not said, words to a terminal, else JSON."""
    out = stream or sys.stdout
    words = fmt == "console" or (fmt is None and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_values,
    ]
    last: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if words
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _ACCESS_LOGS:
        logging.getLogger(name).disabled = True


def _json(event: EventDict, **more: Any) -> str:
    """Write JSON fast, and slowly what cannot be written so: text that is no text."""
    try:
        return msgspec.json.encode(event, enc_hook=more.get("default")).decode()
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError):
        return json.dumps(event, default=repr)


def _without_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop from an exception's text what repeats values: of rows, or of whatever it was about."""
    if isinstance(text := event.get("exception"), str):
        kept = _VALUES.sub("", text)
        event["exception"] = _MESSAGE.sub(lambda found: redacted(found[0]), kept)
    return event
