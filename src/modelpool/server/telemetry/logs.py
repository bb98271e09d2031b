"""Logging of every process: one line per record, on standard error, for people or as JSON for programs.

Each line carries the time in UTC, the level, the logger, and, inside a request, its id and tenant. Control characters
are escaped, so that a client cannot forge a line; keys and passwords are cut out.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from modelpool.conf import ServerSettings
from modelpool.core.redaction import redact

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}
_QUIET = {
    "uvicorn.error": logging.WARNING,
    "uvicorn.asgi": logging.WARNING,
    "django.request": logging.ERROR,
    "httpx": logging.WARNING,
}


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What every line logged on behalf of a request carries; ``tenant`` is as the path spells it, or empty."""

    request_id: str
    tenant: str = ""


_REQUEST: ContextVar[RequestContext | None] = ContextVar("modelpool_request", default=None)


@contextmanager
def in_request(context: RequestContext) -> Iterator[None]:
    """Mark the lines logged in this block, in this thread or task, as the request's."""
    token = _REQUEST.set(context)
    try:
        yield
    finally:
        _REQUEST.reset(token)


def escape(text: str) -> str:
    """Write control characters, line ends included, as ``\\x0a``."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class ConsoleFormatter(logging.Formatter):
    """``2026-01-31 12:00:00.123 INFO  modelpool.server.web  the message  request=… tenant=…``; tracebacks follow."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the lines of a traceback."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        extras = "".join(f" {key}={escape(redact(str(value)))}" for key, value in _extras_of(record).items())
        line = f"{time} {record.levelname:<7} {record.name}: {escape(redact(record.getMessage()))}{extras}"
        trace = _trace_of(self, record)
        return f"{line}\n{redact(trace)}" if trace else line


class JSONFormatter(logging.Formatter):
    """One JSON object a line: ``time, level, logger, process, message``, the request's id and tenant, and extras."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": escape(redact(record.getMessage())),
        }
        document |= {key: escape(redact(str(value))) for key, value in _extras_of(record).items()}
        if trace := _trace_of(self, record):
            document["exception"] = redact(trace)
        return msgspec.json.encode(document).decode()


def configure_logging(settings: ServerSettings) -> None:
    """Send everything this process logs to standard error in the configured form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if settings.log_format == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, root.level))
    logging.captureWarnings(True)


def _extras_of(record: logging.LogRecord) -> dict[str, Any]:
    context = _REQUEST.get()
    known = {} if context is None else {"request_id": context.request_id, "tenant": context.tenant}
    given = {key: value for key, value in record.__dict__.items() if key not in _STANDARD and key != "request"}
    return {key: value for key, value in (known | given).items() if value not in ("", None)}


def _trace_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
