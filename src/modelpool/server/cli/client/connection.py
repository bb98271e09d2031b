"""HTTP to a Modelpool server: answers as documents, problems as errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from modelpool import __version__
from modelpool.core.errors import FieldError
from modelpool.server.cli.client.credentials import Credentials
from modelpool.server.cli.client.failures import Refused, Unreachable

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class Connection:
    """One session with the server; paths are below ``/api/v1``. Use it in a ``with`` statement."""

    def __init__(self, credentials: Credentials) -> None:
        self.url = credentials.url
        self.tenant = credentials.tenant
        headers = {"Authorization": f"Bearer {credentials.key}", "User-Agent": f"modelpool/{__version__}"}
        try:
            self._client = httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=_TIMEOUT)
        except (httpx.InvalidURL, ValueError) as error:
            raise Unreachable(f"{self.url!r} is not an address; write it as http://127.0.0.1:8000") from error

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def path(self, *parts: str | int) -> str:
        """Return a path in the tenant, its parts quoted."""
        return "/".join(
            ["tenants", *(httpx.URL(path=f"/{part}").raw_path.decode()[1:] for part in (self.tenant, *parts))]
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return the document at ``path``; queries that are ``None`` are left out."""
        return self._call("GET", path, params=_given(query))

    def rows(self, path: str, *, limit: int, **query: Any) -> list[dict[str, Any]]:
        """Return up to ``limit`` rows of a list, page by page."""
        page = self.get(path, page_size=min(limit, 500), **query)
        found: list[dict[str, Any]] = page["results"]
        while page["next"] and len(found) < limit:
            page = self._call("GET", page["next"])
            found += page["results"]
        return found[:limit]

    def post(self, path: str, document: Any = None, *, once: bool = False, **named: Any) -> Any:
        """Send a document, or a form in ``named``; with ``once`` a repeated sending has one effect."""
        headers = {"Idempotency-Key": uuid.uuid4().hex} if once else {}
        if document is not None:
            named["content"] = msgspec.json.encode(document)
            headers["Content-Type"] = "application/json"
        return self._call("POST", path, headers=headers | named.pop("headers", {}), **named)

    def put(self, path: str, document: Any) -> Any:
        """Send a document to be there from now on."""
        headers = {"Content-Type": "application/json"}
        return self._call("PUT", path, content=msgspec.json.encode(document), headers=headers)

    def delete(self, path: str) -> None:
        """Delete what is at ``path``."""
        self._call("DELETE", path)

    @contextmanager
    def download(self, path: str, **query: Any) -> Iterator[httpx.Response]:
        """Stream a file."""
        answer = self._client.stream(
            "GET", path, params=_given(query), follow_redirects=True
        )  # to a store, without our key
        with _translated(self.url), answer as response:
            if response.is_error:
                response.read()
            _check(response, self.url)
            yield response

    def text(self, path: str, **query: Any) -> httpx.Response:
        """Return an answer that is not JSON."""
        with _translated(self.url):
            response = self._client.get(path, params=_given(query), headers={"Accept": "text/plain"})
        return _check(response, self.url)

    def _call(self, method: str, path: str, **named: Any) -> Any:
        with _translated(self.url):
            response = self._client.request(method, path, **named)
        _check(response, self.url)
        try:
            return msgspec.json.decode(response.content) if response.content else None
        except msgspec.DecodeError as error:
            raise Unreachable(f"{self.url} answered, but not as a Modelpool server does.") from error


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise Unreachable(f"{url} did not answer in time.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"{url} cannot be reached: {error}") from error


def _check(response: httpx.Response, url: str) -> httpx.Response:
    """Pass an answer that is good; raise what a problem document says."""
    if response.is_success:
        return response
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, Any])
        detail = str(problem["detail"])
    except (msgspec.DecodeError, KeyError) as error:
        raise Unreachable(
            f"{url} answered with status {response.status_code}, not as a Modelpool server does."
        ) from error
    fields = [FieldError(str(item.get("field")), str(item.get("detail"))) for item in problem.get("errors", [])]
    raise Refused(detail, errors=fields)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
