"""What a request's head must look like before Django sees it; the fast lane shares the check of the host.

Refused here, for every route: unknown methods, ambiguous or oversized heads, paths with control characters, ``..`` or
empty segments, compressed bodies, and hosts that are not ours (DNS rebinding).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from modelpool.core.problems import Problem, build_problem
from modelpool.inference.requests import ONCE, find_repeated, is_request_id

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
_ONCE = ONCE | {b"cookie", b"idempotency-key", b"x-mlflow-workspace"}
_BAD_PATH = re.compile(r"[\x00-\x1f\x7f\\]|//|/\.{1,2}(/|$)")
_HOST = re.compile(r"([a-z0-9.-]+|\[[a-f0-9:.]+\])(:[0-9]{1,5})?")
_MAX_KNOWN_HOSTS = 1024

RawHeaders = Iterable[tuple[bytes, bytes]]


def request_id_of(headers: RawHeaders) -> str:
    """Return the client's own request id where it is a harmless one, otherwise a new one."""
    for name, value in headers:
        if name == b"x-request-id" and is_request_id(value):
            return value.decode()
    return uuid.uuid4().hex


class HostCheck:
    """Whether a ``Host`` header names this server; answers are remembered, for the fast lane asks each time.

    ``allowed`` are names as in Django's ``ALLOWED_HOSTS``: ``.example.com`` means the domain and everything below it,
    ``*`` anything.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = tuple(name.lower() for name in allowed)
        self._known: dict[bytes, bool] = {}

    def __call__(self, headers: RawHeaders) -> bool:
        """Say whether the first ``Host`` of these headers is ours; a request without one is not for us."""
        for name, value in headers:
            if name == b"host":
                known = self._known.get(value)
                return known if known is not None else self._learn(value)
        return False

    def _learn(self, value: bytes) -> bool:
        if len(self._known) >= _MAX_KNOWN_HOSTS:
            self._known.clear()
        match = _HOST.fullmatch(value.decode("latin-1").lower())
        self._known[value] = answer = match is not None and any(_matches(match[1], name) for name in self._allowed)
        return answer


def check_head(method: str, *, raw_path: bytes, headers: list[tuple[bytes, bytes]], request_id: str) -> Problem | None:
    """Return what is wrong with the head, or ``None``."""
    if method not in METHODS:
        return build_problem(
            405, code="method_not_allowed", detail="The method is not one of this server.", request_id=request_id
        )
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
        return build_problem(
            431, code="headers_too_large", detail="The headers are too many or too long.", request_id=request_id
        )
    twice = find_repeated(headers, _ONCE)
    if twice is not None:
        return build_problem(
            400, code="malformed", detail=f"The header {twice!r} is there more than once.", request_id=request_id
        )
    if not _path_is_plain(raw_path):
        detail = "The path has an empty, '.' or '..' segment, a control character, or is not UTF-8."
        return build_problem(400, code="malformed", detail=detail, request_id=request_id)
    if any(name == b"content-encoding" and value.strip().lower() not in (b"", b"identity") for name, value in headers):
        detail = "Compressed bodies are not read; send the body as it is."
        return build_problem(415, code="unsupported_media_type", detail=detail, request_id=request_id)
    if any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in headers):
        detail = "Transfer-Encoding may only be chunked; send the body as it is."
        return build_problem(400, code="malformed", detail=detail, request_id=request_id)
    return None


def _path_is_plain(raw_path: bytes) -> bool:
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return path.startswith("/") and _BAD_PATH.search(path) is None


def _matches(host: str, allowed: str) -> bool:
    host = host.rstrip(".")
    if allowed.startswith("."):
        return host == allowed[1:] or host.endswith(allowed)
    return allowed in ("*", host)
