"""Requests to the server, each with an end, and what it answers in our words."""

from __future__ import annotations

import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelpool.core.errors import ConfigurationError, ModelpoolError
from modelpool.storage.backends.webdav.refusals import is_passing, refusal, silence, unavailable

if TYPE_CHECKING:
    import httpx

_ATTEMPTS = 3
_PAUSE_S = 0.2
_CONNECTIONS = 32
_MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Share:
    """Where the files are and how to get there.

    ``alias`` is the store's, which messages name; ``url`` ends with ``/``.
    """

    alias: str
    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    connect_timeout_s: float = 3.0
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; headers are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Connection:
    """Sends requests for paths below the share; safe for threads, and for processes that fork."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        os.register_at_fork(after_in_child=self._forget)

    def ask(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        accept: Iterable[int],
        headers: dict[str, str] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        max_bytes: int = _MAX_ANSWER_BYTES,
    ) -> Answer:
        """Return the whole answer, whose status is one of ``accept``; ``doing`` completes "could not …".

        What may be asked twice is tried a few times, which a body that is streamed may not. An answer of more than
        ``max_bytes`` is not read.
        """
        attempts = _ATTEMPTS if content is None or isinstance(content, bytes) else 1
        wanted = frozenset(accept)

        def send() -> Answer:
            client = self._get()
            request = client.build_request(method, path, headers=headers, content=content)
            response = client.send(request, stream=True)
            try:
                return Answer(response.status_code, response.headers, self._read(response, doing, max_bytes))
            finally:
                response.close()

        answer = self._try(send, doing, attempts, wanted)
        if answer.status not in wanted:
            raise self.refusal(answer.status, doing)
        return answer

    @contextmanager
    def streamed(self, path: str, *, doing: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """GET without reading the body; the status is the caller's to look at."""
        import httpx

        opened: list[httpx.Response] = []

        def send() -> Answer:
            client = self._get()
            response = client.send(client.build_request("GET", path, headers=headers), stream=True)
            opened.append(response)
            return Answer(response.status_code, response.headers, b"")

        try:
            self._try(send, doing, _ATTEMPTS, frozenset())
            yield opened[-1]
        except httpx.RequestError as error:
            raise silence(self.share.alias, self.share.url, doing, error) from error
        finally:
            for response in opened:
                response.close()

    def refusal(self, status: int, doing: str) -> ModelpoolError:
        """Return our error for a status that was not hoped for."""
        return refusal(self.share.alias, self.share.url, status, doing)

    def url_of(self, path: str) -> str:
        """Return the whole address of a path, as ``Destination`` has to be for Apache."""
        return self.share.url + path

    def _try(self, send: Callable[[], Answer], doing: str, attempts: int, wanted: frozenset[int]) -> Answer:
        import httpx

        for attempt in range(1, attempts + 1):
            try:
                answer = send()
                if not is_passing(answer.status) or answer.status in wanted or attempt == attempts:
                    return answer
            except httpx.RequestError as error:
                if attempt == attempts:
                    raise silence(self.share.alias, self.share.url, doing, error) from error
            pause(attempt)
        raise AssertionError("unreachable")

    def _read(self, response: httpx.Response, doing: str, max_bytes: int) -> bytes:
        gathered = bytearray()
        for piece in response.iter_raw():
            gathered += piece
            if len(gathered) > max_bytes:
                raise unavailable(self.share.url, doing, "its server's answer has no end", f"over {max_bytes} bytes")
        return bytes(gathered)

    def _get(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def _forget(self) -> None:
        """A child has its parent's sockets, which it must not use, and perhaps its parent's locked lock."""
        self._lock = threading.Lock()
        self._client = None

    def _make(self) -> httpx.Client:
        import httpx

        share = self.share
        auth = None if share.username is None else httpx.BasicAuth(share.username, share.password or "")
        headers = {} if share.bearer_token is None else {"Authorization": f"Bearer {share.bearer_token}"}
        return httpx.Client(
            base_url=share.url,
            auth=auth,
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(share.timeout_s, connect=share.connect_timeout_s),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            verify=_trust(share) if share.url.startswith("https:") else True,
            follow_redirects=False,
            trust_env=False,
        )


def pause(attempt: int) -> None:
    """Wait before the next attempt, each time longer and never as long as others."""
    time.sleep(_PAUSE_S * attempt * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret


def _trust(share: Share) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=share.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"stores.{share.alias}.ca_file: {share.ca_file} cannot be read as certificates; name a PEM file"
        ) from error
