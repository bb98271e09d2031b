"""Every error that Modelpool raises on purpose.

::

    ModelpoolError
    ├── Malformed                 the bytes are not what their content type says
    ├── NotAuthenticated          no key, or one that is wrong, expired or revoked
    ├── PermissionDenied          the key is good, its role is not enough
    ├── NotFound                  also for another tenant's things
    │   ├── TenantNotFound, ModelNotFound, VersionNotFound, AliasNotFound
    │   ├── JobNotFound, DatasetNotFound, KeyNotFound, MemberNotFound, UploadNotFound
    │   └── NoActiveVersion, NoTrafficRule
    ├── Conflict                  the state of things forbids it
    │   ├── NameTaken, VersionIsActive, VersionHasAliases, VersionNotReady, ActiveVersionMoved
    │   ├── VersionIsQuarantined, ReleaseRefused, VersionInTraffic, VersionCannotServe
    │   ├── NothingToRollBackTo, JobIsFinished, OffsetMismatch, UploadUnfinished
    │   └── IdempotencyConflict
    ├── Invalid                   well-formed but wrong; ``errors`` names the fields
    │   ├── InvalidName, InvalidField, SignatureMismatch, PredictionFailed
    │   ├── UnknownTrainer, BadTrainingData
    │   └── UntrustedFormat, UnloadableModel
    ├── UploadExpired             it was there, and is gone for good
    ├── ProtocolVersionUnknown, ChecksumMismatch
    ├── TooLarge, LengthRequired, UnsupportedMediaType, SlowBody, MethodNotAllowed
    ├── QuotaExceeded             requests or things; ``retry_after_s`` when waiting helps
    │   └── RateLimited
    ├── StorageQuotaExceeded      bytes
    │   └── StoreFull
    ├── Unavailable               try again; ``retry_after_s``
    │   ├── StoreUnavailable, DatabaseUnavailable, ModelUnavailable, IsolationUnavailable
    │   │   └── Quarantined
    │   └── Overloaded, Draining
    ├── ArtifactCorrupt           stored bytes do not match their digest
    └── ConfigurationError        the operator's settings are wrong

Each class carries a stable ``code`` for programs; ``str(error)`` is the sentence for people: what is wrong,
which value, and what to do. ``http/errors.py`` maps the classes above to statuses; nothing here knows of HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request.

    ``field`` is a path such as ``params.n_estimators`` or ``instances[3].age``.
    """

    field: str
    detail: str
    code: str = "invalid"


class ModelpoolError(Exception):
    """The root of everything that Modelpool raises on purpose."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class Malformed(ModelpoolError):
    """The bytes of the request are not what their content type says."""

    code = "malformed"


class NotAuthenticated(ModelpoolError):
    """No key was sent, or one that is wrong, expired or revoked."""

    code = "not_authenticated"

    def __init__(self, detail: str = "Send a valid key in the header 'Authorization: Bearer mp_…'.") -> None:
        super().__init__(detail)


class PermissionDenied(ModelpoolError):
    """The key is good but its role is not enough."""

    code = "permission_denied"


class NotFound(ModelpoolError):
    """There is no such thing, or it is another tenant's."""

    code = "not_found"


class TenantNotFound(NotFound):
    """There is no such tenant, or the caller may not know of it."""

    code = "tenant_not_found"

    def __init__(self, tenant: str) -> None:
        super().__init__(f"There is no tenant {tenant!r}, or this key is not for it.")


class ModelNotFound(NotFound):
    """The tenant has no model of that name."""

    code = "model_not_found"

    def __init__(self, tenant: str, model: str) -> None:
        super().__init__(f"Tenant {tenant!r} has no model {model!r}.")


class VersionNotFound(NotFound):
    """The model has no version of that number, or it was deleted."""

    code = "version_not_found"

    def __init__(self, model: str, number: int | str) -> None:
        super().__init__(f"Model {model!r} has no version {number}.")


class AliasNotFound(NotFound):
    """The model has no alias of that name."""

    code = "alias_not_found"

    def __init__(self, model: str, alias: str) -> None:
        super().__init__(f"Model {model!r} has no alias {alias!r}.")


class NoActiveVersion(NotFound):
    """The model exists but none of its versions is active."""

    code = "no_active_version"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"Model {model!r} has no active version; activate one, or predict with …/versions/{{n}}/predict."
        )


class NoTrafficRule(NotFound):
    """All requests to the model are answered by its active version."""

    code = "no_traffic_rule"

    def __init__(self, model: str) -> None:
        super().__init__(f"Model {model!r} has no traffic rule; set one with PUT.")


class JobNotFound(NotFound):
    """The tenant has no job of that id."""

    code = "job_not_found"

    def __init__(self, job: str) -> None:
        super().__init__(f"There is no job {job!r}.")


class DatasetNotFound(NotFound):
    """The tenant has no dataset of that id."""

    code = "dataset_not_found"

    def __init__(self, dataset: str) -> None:
        super().__init__(f"There is no dataset {dataset!r}.")


class KeyNotFound(NotFound):
    """The tenant has no key of that id."""

    code = "key_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no key {key!r}.")


class MemberNotFound(NotFound):
    """The tenant has no such member."""

    code = "member_not_found"

    def __init__(self, user: str) -> None:
        super().__init__(f"There is no member {user!r}.")


class Conflict(ModelpoolError):
    """The state of things forbids what was asked."""

    code = "conflict"


class NameTaken(Conflict):
    """A thing of that kind and name exists already."""

    code = "name_taken"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"A {kind} {name!r} exists already; choose another name, or change that one.")


class VersionIsActive(Conflict):
    """The active version cannot be deleted."""

    code = "version_active"

    def __init__(self, model: str, number: int) -> None:
        super().__init__(f"Version {number} of {model!r} is active; activate another one before you delete it.")


class VersionHasAliases(Conflict):
    """A version that an alias points to cannot be deleted: predictions by that alias would fail."""

    code = "version_has_aliases"

    def __init__(self, model: str, number: int, aliases: Sequence[str]) -> None:
        names = ", ".join(repr(name) for name in aliases)
        super().__init__(
            f"Version {number} of {model!r} has the aliases {names}; move or delete them before you delete it."
        )


class VersionInTraffic(Conflict):
    """A version that a traffic rule names cannot be deleted: a part of the predictions would fail."""

    code = "version_in_traffic"

    def __init__(self, model: str, number: int, part: str) -> None:
        super().__init__(
            f"The traffic rule of {model!r} names version {number} ({part}); end the rule before you delete it."
        )


class VersionCannotServe(Conflict):
    """The version could not be loaded, or does not answer its own example, so no prediction is sent to it."""

    code = "version_cannot_serve"

    def __init__(self, model: str, number: int, reason: str) -> None:
        super().__init__(f"Version {number} of {model!r} cannot serve: {reason}")


class VersionNotReady(Conflict):
    """Only a version that is ready can be activated, aliased or asked."""

    code = "version_not_ready"

    def __init__(self, model: str, number: int, state: str) -> None:
        super().__init__(f"Version {number} of {model!r} is {state}, not ready.")


class VersionIsQuarantined(Conflict):
    """What is in quarantine cannot be activated or get an alias."""

    code = "version_quarantined"

    def __init__(self, model: str, number: int, reason: str) -> None:
        super().__init__(f"Version {number} of {model!r} is in quarantine: {reason}; release it first.")


class ReleaseRefused(Conflict):
    """The version stays in quarantine, because what it was put there for is still so."""

    code = "release_refused"


class ActiveVersionMoved(Conflict):
    """Somebody else activated another version in between."""

    code = "active_version_moved"

    def __init__(self, model: str, expected: int | None, actual: int | None) -> None:
        super().__init__(
            f"The active version of {model!r} is {actual}, not {expected} as expected; look again, then retry."
        )


class NothingToRollBackTo(Conflict):
    """No earlier active version is left."""

    code = "nothing_to_roll_back_to"

    def __init__(self, model: str) -> None:
        super().__init__(f"Model {model!r} has no earlier active version that is still ready.")


class JobIsFinished(Conflict):
    """A finished job cannot be cancelled."""

    code = "job_finished"

    def __init__(self, job: str, state: str) -> None:
        super().__init__(f"Job {job} is {state} already.")


class IdempotencyConflict(Conflict):
    """The idempotency key was used for another request, or that one is still running."""

    code = "idempotency_conflict"


class Invalid(ModelpoolError):
    """Well-formed but wrong."""

    code = "invalid"


class InvalidField(Invalid):
    """One field of the request has a value that cannot be."""

    code = "invalid_field"

    def __init__(self, field: str, detail: str, *, code: str = "invalid") -> None:
        super().__init__(f"{field}: {detail}", errors=[FieldError(field, detail, code)])


class InvalidName(Invalid):
    """The name does not match ``[a-z0-9][a-z0-9_-]{0,62}``."""

    code = "invalid_name"


class SignatureMismatch(Invalid):
    """The inputs of a prediction do not fit the model's signature."""

    code = "signature_mismatch"


class PredictionFailed(Invalid):
    """The inputs fit the signature, but the model itself refuses them."""

    code = "prediction_failed"


class UnknownTrainer(Invalid):
    """No trainer of that name is installed."""

    code = "unknown_trainer"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        detail = f"There is no trainer {name!r}; installed are {', '.join(known) or 'none'}."
        super().__init__(detail, errors=[FieldError("trainer", detail, "unknown_trainer")])


class BadTrainingData(Invalid):
    """The data cannot be trained on; the message says why and what to change."""

    code = "bad_training_data"


class UntrustedFormat(Invalid):
    """The file could run code, or holds types that are not on the reviewed list."""

    code = "untrusted_format"


class UnloadableModel(Invalid):
    """The file is not a model of its format, or breaks a limit."""

    code = "unloadable_model"


class TooLarge(ModelpoolError):
    """The body or file is larger than allowed."""

    code = "too_large"

    def __init__(self, limit: int, what: str = "body", *, unit: str = "bytes") -> None:
        super().__init__(f"The {what} is larger than the limit of {limit} {unit}.")


class LengthRequired(ModelpoolError):
    """The request says neither Content-Length nor chunks."""

    code = "length_required"


class UnsupportedMediaType(ModelpoolError):
    """The content type is not one that this route reads."""

    code = "unsupported_media_type"


class SlowBody(ModelpoolError):
    """The body did not arrive in time."""

    code = "slow_body"


class MethodNotAllowed(ModelpoolError):
    """The route does not know that method; ``allowed`` are those it knows."""

    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{method[:20]} is not known here; this route takes {', '.join(allowed)}.")
        self.method = method
        self.allowed = tuple(allowed)


class QuotaExceeded(ModelpoolError):
    """The tenant's quota of requests or things is used up."""

    code = "quota_exceeded"


class RateLimited(QuotaExceeded):
    """The tenant asks for more predictions than it may: ``per_second`` on average, ``burst`` at once."""

    code = "rate_limited"

    def __init__(self, *, per_second: float, burst: int, retry_after_s: float) -> None:
        super().__init__(
            f"The tenant may ask for {per_second:g} predictions a second, {burst} at once; try again later.",
            retry_after_s=retry_after_s,
        )
        self.per_second = per_second
        self.burst = burst


class StorageQuotaExceeded(ModelpoolError):
    """The tenant's quota of stored bytes is used up."""

    code = "storage_quota_exceeded"


class StoreFull(StorageQuotaExceeded):
    """The artifact store itself has no room left, whatever the tenant's quota says."""


class Unavailable(ModelpoolError):
    """Not now; trying again may help."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class StoreUnavailable(Unavailable):
    """The artifact store does not answer, or its volume is not mounted."""

    code = "store_unavailable"


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database_unavailable"


class ModelUnavailable(Unavailable):
    """The model cannot be loaded or its process fails at present."""

    code = "model_unavailable"


class IsolationUnavailable(Unavailable):
    """Uploaded files cannot be opened safely on this machine; the message says what the operator can do."""

    code = "isolation_unavailable"


class Quarantined(ModelUnavailable):
    """The version is in quarantine; others of the model are not."""

    code = "quarantined"

    def __init__(self, model: str, number: int, reason: str) -> None:
        super().__init__(f"Version {number} of {model!r} is in quarantine: {reason}", retry_after_s=60)


class Overloaded(Unavailable):
    """More requests than the server can take."""

    code = "overloaded"


class Draining(Unavailable):
    """The server is shutting down."""

    code = "draining"


class ArtifactCorrupt(ModelpoolError):
    """Stored bytes do not match the size or sha256 that were recorded; they are never loaded or served."""

    code = "artifact_corrupt"


class ConfigurationError(ModelpoolError):
    """The operator's settings are wrong; the message names the key."""

    code = "configuration_error"
