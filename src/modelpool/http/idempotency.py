"""``Idempotency-Key``: a repeated request has one effect, and gets the answer of the first.

The rules: same key and same request → the stored answer; same key and another request → 422; the first one still runs →
409 with ``Retry-After``. Answers that are errors are not kept, for they changed nothing. Records belong to a credential
and are kept a day. A crash leaves a running record, whose lease ends soon; its successor fences it off: an attempt may
commit its effect only together with its own record, in one transaction, so that a late one is rolled back.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from modelpool.core.errors import IdempotencyConflict, Invalid, InvalidField
from modelpool.http.models import IdempotencyRecord
from modelpool.http.sealing import seal, unseal

HEADER = "Idempotency-Key"
RETENTION = timedelta(hours=24)
LEASE = timedelta(seconds=90)
_RENEW_AFTER_S = 15.0
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class IdempotencyKeyReused(Invalid):
    """The key was used for another request."""

    code = "idempotency_key_reused"


class StillRunning(IdempotencyConflict):
    """The first request with this key has not been answered yet."""

    code = "idempotency_conflict"

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is still running; try again.", retry_after_s=2.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response in the form that is kept."""

    status: int
    body: bytes
    headers: dict[str, str]

    def to_response(self) -> HttpResponse:
        """Return it once more, marked as a repetition."""
        headers = {**self.headers, "Idempotency-Replayed": "true"}
        return HttpResponse(self.body, status=self.status, content_type="application/json", headers=headers)


@dataclass(slots=True)
class Attempt:
    """One run of a request that carries a key."""

    record_id: int
    fence: str
    token: str
    is_complete: bool = False
    renewed_at: float = 0.0

    def complete(self, answer: Answer) -> None:
        """Keep the answer, in the caller's transaction; raises :class:`StillRunning` when another attempt took over."""
        if not connection.in_atomic_block:
            raise transaction.TransactionManagementError("an attempt is completed in the transaction of its effect")
        sealed = seal(answer.body, secret=settings.SECRET_KEY, token=self.token)
        kept = {
            "status": answer.status,
            "headers": answer.headers,
            "answer": sealed,
            "expires_at": timezone.now() + RETENTION,
        }
        if not self._mine().update(**kept):
            raise StillRunning
        self.is_complete = True

    def renew(self) -> None:
        """Prolong the lease while bytes keep coming."""
        now = time.monotonic()
        if now - self.renewed_at >= _RENEW_AFTER_S:
            self.renewed_at = now
            self._mine().update(expires_at=timezone.now() + LEASE)

    def release(self) -> None:
        """Forget an attempt that ended in an error."""
        self._mine().delete()

    def _mine(self) -> QuerySet[IdempotencyRecord]:
        return IdempotencyRecord.objects.filter(pk=self.record_id, attempt=self.fence, status=None)


def key_of(request: HttpRequest) -> str | None:
    """Return the header's value, ``None`` without one; raise 422 for one that is empty, too long or not ASCII."""
    sent = request.headers.get(HEADER)
    if sent is not None and _KEY.fullmatch(sent) is None:
        raise InvalidField(HEADER, "must be 1 to 255 visible ASCII characters.")
    return sent


def fingerprint_of(request: HttpRequest, *, body_digest: str) -> str:
    """Return the digest of what makes two requests the same: method, path, query, type and body."""
    parts = [
        request.method or "",
        request.path,
        request.META.get("QUERY_STRING", ""),
        request.content_type or "",
        body_digest,
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def begin(key: str, *, credential: str, fingerprint: str) -> Attempt | Answer:
    """Return a new attempt, or the answer of the first; raises when the first still runs or was another request."""
    prune()
    digest = hashlib.sha256(key.encode()).hexdigest()
    fence = uuid.uuid4().hex
    fresh = {"fingerprint": fingerprint, "attempt": fence, "expires_at": timezone.now() + LEASE}
    try:
        with transaction.atomic():
            record = IdempotencyRecord.objects.create(credential=credential, key_digest=digest, **fresh)
    except IntegrityError:
        return _meet(
            IdempotencyRecord.objects.filter(credential=credential, key_digest=digest).first(), key, fingerprint, fence
        )
    return Attempt(record_id=record.pk, fence=fence, token=key, renewed_at=time.monotonic())


def prune() -> int:
    """Delete answers that are kept no longer; a running record is left for its successor to take over."""
    deleted, _ = IdempotencyRecord.objects.filter(expires_at__lt=timezone.now(), status__isnull=False).delete()
    abandoned, _ = IdempotencyRecord.objects.filter(expires_at__lt=timezone.now() - RETENTION).delete()
    return deleted + abandoned


def _meet(record: IdempotencyRecord | None, key: str, fingerprint: str, fence: str) -> Attempt | Answer:
    """Decide by the record that is there already."""
    if record is None:  # it was released a moment ago
        raise StillRunning
    if record.fingerprint != fingerprint:
        raise IdempotencyKeyReused(
            f"This {HEADER} was used for another request; send a new key with a new request.",
        )
    if record.status is None:
        return _take_over(record, key, fence)
    body = unseal(bytes(record.answer), secret=settings.SECRET_KEY, token=key)
    if body is None:
        raise IdempotencyConflict("The answer of the first request can no longer be read; it did take effect.")
    return Answer(status=record.status, body=body, headers=record.headers)


def _take_over(record: IdempotencyRecord, key: str, fence: str) -> Attempt:
    expired = IdempotencyRecord.objects.filter(
        pk=record.pk, attempt=record.attempt, status=None, expires_at__lt=timezone.now()
    )
    if not expired.update(attempt=fence, expires_at=timezone.now() + LEASE):
        raise StillRunning
    return Attempt(record_id=record.pk, fence=fence, token=key, renewed_at=time.monotonic())
