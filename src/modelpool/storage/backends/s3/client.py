"""A connection to a bucket, made anew in each process, and its errors in our words."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelpool.core.errors import ConfigurationError, ModelpoolError, StoreFull, StoreUnavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_ATTEMPTS = 3
_CONNECTIONS = 32
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})
_WRONG_KEY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"})


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the objects are and how to get there; ``alias`` is the store's, which messages name.

    ``redirect_lifetime_s`` is how long signed addresses hold, ``None`` that none are given out.
    Without ``access_key_id`` the usual chain is asked: variables of the environment, profiles, the machine's role.
    """

    alias: str
    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool = True
    connect_timeout_s: float = 3.0
    timeout_s: float = 10.0
    redirect_lifetime_s: float | None = None


class Connection:
    """Clients of one bucket; safe for threads, and for processes that fork."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._lock = threading.Lock()
        self._client: Any = None
        self._pid = 0
        os.register_at_fork(after_in_child=self._forget)

    @contextmanager
    def asked(self, doing: str) -> Iterator[Any]:
        """Give the client for a ``with`` block; its errors become ours, and ``doing`` completes "could not …"."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield self._get()
        except ClientError as error:
            raise self._of_answer(error, doing) from error
        except BotoCoreError as error:
            raise self._of_silence(error, doing) from error

    def _get(self) -> Any:
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client, self._pid = self._make(), os.getpid()
            return self._client

    def _forget(self) -> None:
        """A child has its parent's sockets, which it must not use, and perhaps its parent's locked lock."""
        self._lock = threading.Lock()
        self._client = None

    def _make(self) -> Any:
        try:
            from botocore.config import Config
            from botocore.session import Session
        except ImportError as error:
            raise ConfigurationError(
                f"stores.{self.bucket.alias}: kind \"s3\" needs a library; run: pip install 'modelpool[s3]'"
            ) from error
        bucket = self.bucket
        config = Config(
            connect_timeout=bucket.connect_timeout_s,
            read_timeout=bucket.timeout_s,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_CONNECTIONS,
            signature_version="s3v4",
            request_checksum_calculation="when_required",  # ours are sent by name; not every server takes others
            response_checksum_validation="when_required",  # what is read is compared with the digest in the database
            s3={"addressing_style": "path" if bucket.path_style else "virtual"},
        )
        return Session().create_client(
            "s3",
            endpoint_url=bucket.endpoint,
            region_name=bucket.region,
            aws_access_key_id=bucket.access_key_id,
            aws_secret_access_key=bucket.secret_access_key,
            aws_session_token=bucket.session_token,
            config=config,
        )

    # --- errors -------------------------------------------------------------------------------------------------------

    def _of_answer(self, error: ClientError, doing: str) -> Exception:
        """Return our error for what the server answered; that of an object that is there already is not one of ours."""
        code = code_of(error)
        if code in _EXISTS:
            return FileExistsError(doing)
        if code in _FULL:
            return StoreFull(f"The artifact store could not {doing}: its server has no room left.")
        return self._unavailable(doing, self._reason(code, error), error)

    def _of_silence(self, error: Exception, doing: str) -> ModelpoolError:
        from botocore.exceptions import NoCredentialsError, PartialCredentialsError

        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return self._unavailable(doing, f"there are no credentials; set {self._setting('access_key_id')}", error)
        return self._unavailable(doing, "its server does not answer", error)

    def _unavailable(self, doing: str, reason: str, error: Exception) -> StoreUnavailable:
        found = StoreUnavailable(f"The artifact store could not {doing}: {reason}.")
        found.add_note(f"bucket: {self.bucket.name!r} at {self.bucket.endpoint or 'AWS'}; {type(error).__name__}")
        return found

    def _reason(self, code: str, error: ClientError) -> str:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == "NoSuchBucket":
            return f"there is no such bucket; correct {self._setting('bucket')}"
        if code in _WRONG_KEY:
            keys = f"{self._setting('access_key_id')} and {self._setting('secret_access_key')}"
            return f"its server does not know the access key, or the secret is wrong; correct {keys}"
        if code == "RequestTimeTooSkewed":
            return "this machine's clock is wrong; set it"
        if code == "AccessDenied" or status == 403:
            return "the access key may not do that; let it read, write, list and delete in the bucket"
        return f"its server answered {code}" if code else f"its server answered {status}"

    def _setting(self, name: str) -> str:
        return f"stores.{self.bucket.alias}.{name}"


def code_of(error: ClientError) -> str:
    """Return the server's code, or the status as text where there is no body to hold one."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: ClientError) -> bool:
    """Whether the server says that there is no such object."""
    return code_of(error) in _MISSING


def head(connection: Connection, name: str) -> dict[str, Any] | None:
    """Return what the server says of an object, ``None`` where it has none."""
    from botocore.exceptions import ClientError

    with connection.asked("find an object") as s3:
        try:
            found: dict[str, Any] = s3.head_object(Bucket=connection.bucket.name, Key=name)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
    return found
