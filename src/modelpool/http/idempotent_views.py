"""Methods of views that honour ``Idempotency-Key``; a test holds every ``post`` to one of these three ways."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.db import DatabaseError, transaction
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool import conf
from modelpool.core.errors import TooLarge
from modelpool.http.body_stream import content_length
from modelpool.http.idempotency import Answer, Attempt, begin, fingerprint_of, key_of
from modelpool.http.rendering import encode
from modelpool.http.uploads import Upload
from modelpool.http.views import ApiView

logger = logging.getLogger(__name__)

T = TypeVar("T")
Method = Callable[..., Any]


def idempotent(method: Method) -> Method:
    """For methods that take JSON and change the database only: effect and answer are committed in one transaction."""

    @wraps(method)
    def post(view: ApiView, request: Request, *args: Any, **kwargs: Any) -> Any:
        key = key_of(view.raw_request)
        if key is None:
            return method(view, request, *args, **kwargs)
        attempt = _begin(view, key, body_digest=_digest_of_json(view))
        if isinstance(attempt, Answer):
            return attempt.to_response()
        with _Releasing(attempt), transaction.atomic():
            response = method(view, request, *args, **kwargs)
            attempt.complete(_answer_of(response))
        return response

    post.handles_idempotency = True  # type: ignore[attr-defined]
    return post


def repeatable(method: Method) -> Method:
    """For methods that create nothing, or whose repetition changes nothing more: the key is not needed."""
    method.handles_idempotency = True  # type: ignore[attr-defined]
    return method


class KeepsAnswer:
    """For methods that stream a file first and commit later, when the service completes the attempt as well."""

    attempt: Attempt | None = None

    def run_once(self, upload: Upload | None, work: Callable[[], Response]) -> Any:
        """Run ``work`` once for the request's key; ``upload`` is ``None`` where the body is JSON."""
        assert isinstance(self, ApiView)
        key = key_of(self.raw_request)
        if key is None:
            return work()
        try:
            return self._run_attempt(key, upload, work)
        finally:
            if upload is not None:
                upload.file.close()

    def _run_attempt(self, key: str, upload: Upload | None, work: Callable[[], Response]) -> Any:
        assert isinstance(self, ApiView)
        attempt = _begin(self, key, body_digest=upload.digest() if upload else _digest_of_json(self))
        if isinstance(attempt, Answer):
            return attempt.to_response()
        self.attempt = attempt
        if upload is not None:
            upload.file.on_chunk = attempt.renew
        with _Releasing(attempt):
            response = work()
            if not attempt.is_complete:
                with transaction.atomic():
                    attempt.complete(_answer_of(response))
        return response

    def keeping(self, present: Callable[[T], Response]) -> Callable[[T], None]:
        """Return what a service calls with the new thing, inside its transaction."""

        def complete(thing: T) -> None:
            if self.attempt is not None:
                self.attempt.complete(_answer_of(present(thing)))

        return complete


class _Releasing:
    """Forgets the attempt when its effect was rolled back."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            return
        try:
            self.attempt.release()
        except DatabaseError:
            logger.warning("an idempotency record could not be released; its lease ends by itself", exc_info=True)


def _begin(view: ApiView, key: str, *, body_digest: str) -> Attempt | Answer:
    fingerprint = fingerprint_of(view.raw_request, body_digest=body_digest)
    return begin(key, credential=view.caller.credential, fingerprint=fingerprint)


def _digest_of_json(view: ApiView) -> str:
    limit_bytes = int(conf.settings().limits.max_json)
    if content_length(view.raw_request) > limit_bytes:
        raise TooLarge(limit_bytes)
    return hashlib.sha256(view.raw_request.body).hexdigest()


def _answer_of(response: Response) -> Answer:
    body = b"" if response.data is None else encode(response.data)
    headers = {name: value for name, value in response.headers.items() if name == "Location"}
    return Answer(status=response.status_code, body=body, headers=headers)
