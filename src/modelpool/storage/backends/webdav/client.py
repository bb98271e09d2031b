"""Requests to the server, each with an end, and what it answers in our words."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelpool.core.errors import ConfigurationError, ModelpoolError, StorageQuotaExceeded, StoreUnavailable

if TYPE_CHECKING:
    import httpx

_ATTEMPTS = 3
_PAUSE_S = 0.2
_CONNECTIONS = 32
_PASSING = frozenset({502, 503, 504})
_FULL = frozenset({413, 507})
_MAY_NOT = frozenset({403, 405, 501})


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
    ) -> httpx.Response:
        """Return the whole answer, whose status is one of ``accept``; ``doing`` completes "could not …".

        What may be asked twice is tried a few times, which a body that is streamed may not.
        """
        attempts = _ATTEMPTS if content is None or isinstance(content, bytes) else 1
        wanted = frozenset(accept)

        def send() -> httpx.Response:
            return self._get().request(method, path, headers=headers, content=content)

        response = self._try(send, doing, attempts, wanted)
        if response.status_code not in wanted:
            raise self.refusal(response.status_code, doing)
        return response

    @contextmanager
    def streamed(self, path: str, *, doing: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """GET without reading the body; the status is the caller's to look at."""
        import httpx

        def send() -> httpx.Response:
            client = self._get()
            return client.send(client.build_request("GET", path, headers=headers), stream=True)

        response = self._try(send, doing, _ATTEMPTS, frozenset())
        try:
            yield response
        except httpx.TransportError as error:
            raise self._silence(doing, error) from error
        finally:
            response.close()

    def refusal(self, status: int, doing: str) -> ModelpoolError:
        """Return our error for a status that was not hoped for."""
        if status in _FULL:
            return StorageQuotaExceeded(f"The artifact store could not {doing}: its server has no room left.")
        return self._unavailable(doing, self._reason(status), f"status {status}")

    def url_of(self, path: str) -> str:
        """Return the address of a path, as the header ``Destination`` wants it."""
        return self.share.url + path

    def _try(
        self, send: Callable[[], httpx.Response], doing: str, attempts: int, wanted: frozenset[int]
    ) -> httpx.Response:
        import httpx

        for attempt in range(1, attempts + 1):
            try:
                response = send()
                if response.status_code not in _PASSING or response.status_code in wanted or attempt == attempts:
                    return response
                response.close()
            except httpx.TransportError as error:
                if attempt == attempts:
                    raise self._silence(doing, error) from error
            time.sleep(_PAUSE_S * attempt * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
        raise AssertionError("unreachable")

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
        verify: Any = True
        if share.ca_file is not None:
            import ssl

            try:
                verify = ssl.create_default_context(cafile=share.ca_file)
            except OSError as error:
                raise ConfigurationError(f"stores.{share.alias}.ca_file: {share.ca_file} cannot be read") from error
        return httpx.Client(
            base_url=share.url,
            auth=auth,
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(share.timeout_s, connect=share.connect_timeout_s),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            verify=verify,
            trust_env=False,
        )

    # --- errors -------------------------------------------------------------------------------------------------------

    def _silence(self, doing: str, error: Exception) -> StoreUnavailable:
        return self._unavailable(doing, "its server does not answer, or broke off", type(error).__name__)

    def _unavailable(self, doing: str, reason: str, note: str) -> StoreUnavailable:
        found = StoreUnavailable(f"The artifact store could not {doing}: {reason}.")
        found.add_note(f"at {self.share.url}; {note}")
        return found

    def _reason(self, status: int) -> str:
        alias = self.share.alias
        if status == 401:
            return (
                f"its server refuses the credentials; correct stores.{alias}.username and .password, or .bearer_token"
            )
        if status in _MAY_NOT:
            return f"its server does not allow it (status {status}); let the account write, and enable WebDAV"
        if status in (404, 409):
            return f"there is no such folder; make it, or correct stores.{alias}.url"
        if 300 <= status < 400:
            return f"its server sends us elsewhere (status {status}); correct stores.{alias}.url"
        return f"its server answered with status {status}"
