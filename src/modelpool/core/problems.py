"""One table from errors to statuses, and the document that describes an error: RFC 9457, ``application/problem+json``.

Every wire of this server answers errors with it, inside Django and in front of it, so that a client meets one shape.
"""

from __future__ import annotations

import math

import msgspec

from modelpool.core import errors, upload_errors

MEDIA_TYPE = "application/problem+json"

STATUSES: dict[type[errors.ModelpoolError], int] = {
    errors.Malformed: 400,
    errors.NotAuthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.SlowBody: 408,
    errors.Conflict: 409,
    upload_errors.UploadExpired: 410,
    errors.LengthRequired: 411,
    upload_errors.ProtocolVersionUnknown: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Invalid: 422,
    errors.QuotaExceeded: 429,
    upload_errors.ChecksumMismatch: 460,  # as the tus protocol has it
    errors.ArtifactCorrupt: 503,
    errors.Unavailable: 503,
    errors.StorageQuotaExceeded: 507,
}
"""The status of each class and of its subclasses; what is not here is a fault of the server, 500."""

_MAX_ERRORS = 100
_encode = msgspec.json.Encoder().encode


class ProblemField(msgspec.Struct, frozen=True):
    """What is wrong with one field; ``field`` is a path such as ``instances[3].age``."""

    field: str
    detail: str
    code: str


class RateLimit(msgspec.Struct, frozen=True):
    """What a tenant may ask: on average in a second, and at once after a rest."""

    per_second: float
    burst: int


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document; ``errors`` names at most a hundred fields. ``type`` is a name, not an address."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[ProblemField, ...] = ()
    request_id: str | None = None
    retry_after_s: int | None = None
    rate_limit: RateLimit | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with the document, besides its content type: ``Retry-After``, ``WWW-Authenticate``.

        A rate limit is told as the IETF's draft of RateLimit fields for HTTP has it: a quota of so many in a window.
        """
        sent = {}
        if self.retry_after_s is not None:
            sent["Retry-After"] = str(self.retry_after_s)
        if self.rate_limit is not None:
            limit = self.rate_limit
            window_s = max(1, math.ceil(limit.burst / limit.per_second))
            sent["RateLimit-Policy"] = f'"predictions";q={limit.burst};w={window_s}'
            sent["RateLimit"] = f'"predictions";r=0;t={self.retry_after_s or 1}'
        if self.status == 401:
            sent["WWW-Authenticate"] = 'Bearer realm="modelpool"'
        return sent

    def to_json(self) -> bytes:
        """Return the body."""
        return _encode(self)


def status_of(error: BaseException) -> int:
    """Return the status: that of the nearest class in :data:`STATUSES`, 500 for anything unforeseen."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500


def problem_of(error: BaseException, *, request_id: str | None = None) -> Problem:
    """Describe an error; one that is not of our tree, or a wrong setting, is described without its message."""
    status = status_of(error)
    if status == 500 or not isinstance(error, errors.ModelpoolError):
        detail = "The server made a mistake; its log has the details under this request's id."
        return build_problem(500, code="internal_error", detail=detail, request_id=request_id)
    return build_problem(
        status,
        code=error.code,
        detail=error.detail,
        fields=[ProblemField(item.field, item.detail, item.code) for item in error.errors[:_MAX_ERRORS]],
        request_id=request_id,
        retry_after_s=error.retry_after_s if error.retry_after_s is not None or status not in (429, 503) else 1.0,
        rate_limit=RateLimit(error.per_second, error.burst) if isinstance(error, errors.RateLimited) else None,
    )


def build_problem(
    status: int,
    *,
    code: str,
    detail: str,
    fields: list[ProblemField] | None = None,
    request_id: str | None = None,
    retry_after_s: float | None = None,
    rate_limit: RateLimit | None = None,
) -> Problem:
    """Make the document for what has no exception, such as a method that a route does not know."""
    return Problem(
        type=f"urn:modelpool:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        errors=tuple(fields or ()),
        request_id=request_id,
        retry_after_s=None if retry_after_s is None else max(1, math.ceil(retry_after_s)),
        rate_limit=rate_limit,
    )
