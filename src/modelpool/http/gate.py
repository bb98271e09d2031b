"""The request gate: what is refused before anything looks at a key or a body."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from modelpool import conf
from modelpool.core import errors
from modelpool.core.problems import problem_of
from modelpool.http.body_stream import content_length
from modelpool.http.errors import problem_response

_ONCE = ("HTTP_HOST", "HTTP_AUTHORIZATION", "CONTENT_LENGTH", "HTTP_IDEMPOTENCY_KEY", "HTTP_X_MLFLOW_WORKSPACE")
_BAD_PATH = re.compile(r"[\x00-\x1f\x7f\\]|//|\ufffd")
_MAX_PATH = 2000
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)


class RequestGateMiddleware:
    """Answers 400, 411, 413 and 415 for requests that no route could want.

    Two headers of one name arrive here joined by a comma, as CGI has it (RFC 3875, 4.1.18).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Refuse or pass on."""
        try:
            check_request(request)
        except errors.ModelpoolError as error:
            return problem_response(problem_of(error, request_id=getattr(request, "request_id", None)))
        return self.get_response(request)


def check_request(request: HttpRequest) -> None:
    """Raise for a path off the grammar, doubled headers, encoded or oversized bodies, charsets that are not UTF-8."""
    _check_path(request.path_info)
    for name in _ONCE:
        if "," in request.META.get(name, ""):
            header = name.removeprefix("HTTP_").replace("_", "-").title()
            raise errors.Malformed(f"The header {header!r} may be sent once only.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() not in ("", "identity"):
        raise errors.UnsupportedMediaType("Compressed bodies are not read; send it without 'Content-Encoding'.")
    if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
        raise errors.LengthRequired("Send the header 'Content-Length'.")
    _check_size(request)
    charset = _CHARSET.search(request.META.get("CONTENT_TYPE", ""))
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise errors.UnsupportedMediaType(f"The charset {charset[1][:40]!r} is not read; send UTF-8.")


def _check_path(path: str) -> None:
    if len(path) > _MAX_PATH or _BAD_PATH.search(path) or any(part in (".", "..") for part in path.split("/")):
        raise errors.Malformed("The path holds characters or segments that are not allowed.")


def _check_size(request: HttpRequest) -> None:
    configured = conf.settings()
    limit = max(configured.limits.max_upload, configured.limits.max_dataset, configured.serving.max_body)
    if content_length(request) > limit + _FORM_OVERHEAD:
        raise errors.TooLarge(int(limit))


_FORM_OVERHEAD = 1 << 20
