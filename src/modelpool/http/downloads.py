"""Sending a stored file: streamed, verified, in ranges, always as an attachment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from modelpool.core.problems import build_problem
from modelpool.http.errors import problem_response
from modelpool.http.ranges import asked_range, is_unchanged
from modelpool.storage.models import Artifact
from modelpool.storage.services import download_url, open_artifact


def send_artifact(request: HttpRequest, artifact: Artifact, *, filename: str) -> HttpResponseBase:
    """Answer GET or HEAD: 200, 206, 304, 307 to the store itself, or 416; ``ETag`` is the sha256.

    The first piece is read before the head is sent, so that a store which does not answer is a 503. A file that turns
    out to be corrupt ends short of the length that the head declares, which no client takes for a whole one.
    """
    etag = f'"{artifact.sha256}"'
    if is_unchanged(request, etag):
        return _with_headers(HttpResponse(status=304), etag=etag, filename=filename)
    wanted = asked_range(request, size=artifact.size_bytes, etag=etag)
    if wanted is None:
        problem = build_problem(416, code="range_not_satisfiable", detail=f"The file has {artifact.size_bytes} bytes.")
        response = problem_response(problem)
        response["Content-Range"] = f"bytes */{artifact.size_bytes}"
        return response
    url = download_url(artifact, filename=filename) if request.method == "GET" else None
    if url is not None:
        redirect = HttpResponse(status=307, headers={"Location": url})
        return _with_headers(redirect, etag=etag, filename=filename)
    pieces = iter(()) if request.method == "HEAD" else _pieces(artifact, wanted.start, wanted.stop)
    body = StreamingHttpResponse(
        pieces, status=200 if wanted.is_whole else 206, content_type="application/octet-stream"
    )
    body["Content-Length"] = str(wanted.stop - wanted.start)
    if not wanted.is_whole:
        body["Content-Range"] = wanted.content_range
    return _with_headers(body, etag=etag, filename=filename)


def _pieces(artifact: Artifact, start: int, stop: int) -> Iterator[bytes]:
    """Open the file and read the first piece now, the rest when it is asked for."""
    stack = ExitStack()
    try:
        pieces = stack.enter_context(open_artifact(artifact, start=start, stop=stop))
        first = next(pieces, b"")
    except BaseException:
        stack.close()
        raise
    return _Pieces(first, pieces, stack)


class _Pieces:
    """An iterator that Django closes with the response."""

    def __init__(self, first: bytes, rest: Iterator[bytes], stack: ExitStack) -> None:
        self._first: bytes | None = first
        self._rest = rest
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return next(self._rest)

    def close(self) -> None:
        """Give the file back, also when the client left in the middle."""
        self._stack.close()


def _with_headers(response: HttpResponseBase, *, etag: str, filename: str) -> HttpResponseBase:
    ascii_name = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in filename)
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    response["Content-Disposition"] = (
        f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(filename, safe='')}"
    )
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store, private"
    return response
