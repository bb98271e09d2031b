"""Lines of the log: one a record, with the request's id, without secrets, not to be forged."""

from __future__ import annotations

import json
import logging

import pytest

from modelpool.core.redaction import redact
from modelpool.server.telemetry.logs import ConsoleFormatter, JSONFormatter, RequestContext, in_request

_KEY = "mp_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"


def _record(message: str, *values: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("modelpool.test").makeRecord(
        "modelpool.test", logging.WARNING, __file__, 1, message, values, None, extra=extra
    )


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JSONFormatter()])
def test_line_is_one_line_whatever_a_client_sends(formatter):
    line = formatter.format(_record("path %s", "/a\r\n2026-01-01 INFO forged\x1b[31m\u2028", header="x\ny"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JSONFormatter()])
def test_secrets_are_cut_out(formatter):
    line = formatter.format(_record("key %s", _KEY, url="postgres://bob:hunter2@db/x"))
    assert _KEY not in line
    assert "mp_01234567…" in line
    assert "hunter2" not in line
    assert "bob" in line


def test_request_and_tenant_are_named_inside_a_request_only():
    with in_request(RequestContext("abc-1", "acme")):
        document = json.loads(JSONFormatter().format(_record("inside", status=200)))
    assert (document["request_id"], document["tenant"], document["status"]) == ("abc-1", "acme", "200")
    assert document["level"] == "WARNING"
    assert "request_id" not in json.loads(JSONFormatter().format(_record("outside")))


def test_traceback_is_kept_and_redacted():
    try:
        raise RuntimeError(_KEY)
    except RuntimeError as error:
        record = _record("failed")
        record.exc_info = (type(error), error, error.__traceback__)
    text = ConsoleFormatter().format(record)
    assert "Traceback" in text
    assert _KEY not in text
    assert _KEY not in json.loads(JSONFormatter().format(record))["exception"]


def test_plain_text_is_left_alone():
    assert redact("a model named mp_x at http://localhost:8000/") == "a model named mp_x at http://localhost:8000/"
