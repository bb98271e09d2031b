"""The table of requests that must have one effect however often they are sent."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone


class IdempotencyRecord(models.Model):
    """What became of a request that carried an ``Idempotency-Key``.

    ``key_digest`` is the SHA-256 of the key, ``answer`` the sealed body of the response (it may hold a secret that is
    shown once). While ``status`` is empty the request runs: ``attempt`` fences it, ``expires_at`` is its lease.
    Afterwards ``expires_at`` says how long the answer is remembered.
    """

    credential = models.CharField(max_length=64)
    key_digest = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    attempt = models.CharField(max_length=32)
    status = models.IntegerField(null=True)
    headers = models.JSONField(default=dict)
    answer = models.BinaryField(default=b"")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "modelpool_idempotency_record"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["credential", "key_digest"], name="idempotency_key_once_per_credential"),
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="idempotency_by_expiry")]

    def __str__(self) -> str:
        return f"{self.credential} {self.status or 'running'}"
